"""TCP ports of this machine: is one free, find a free one, wait until one answers."""

import errno
import secrets
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

LOOPBACK = "127.0.0.1"
CONNECT_TIMEOUT_S = 0.5
POLL_INTERVAL_S = 0.02
FIRST_PORT = 10_000
FIRST_EPHEMERAL = 32_768
PICKS_MAX = 1_000
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_reserved: dict[int, socket.socket] = {}


def free_port(host: str = LOOPBACK) -> int:
    """A port that is free now, that no living process was given here, and that the system gives to nobody unasked.

    A number out of the system's own range (Linux: ``ip_local_port_range``) may be the local end of any outgoing
    connection before its server listens. Raises RuntimeError when `PICKS_MAX` numbers were all taken.
    """
    for _ in range(PICKS_MAX):
        port = FIRST_PORT + secrets.randbelow(_first_ephemeral() - FIRST_PORT)
        if port not in _reserved and port_is_free(port, host) and _reserve(port):
            return port
    raise RuntimeError(f"no free port found on {host} from {FIRST_PORT} in {PICKS_MAX} picks")


def _reserve(port: int) -> bool:
    """Until this process ends, by a name in Linux's abstract namespace (elsewhere two processes may get the same)."""
    name = socket.socket(socket.AF_UNIX)
    if sys.platform == "linux":
        try:
            name.bind(f"\0vitrin-port-{port}")
        except OSError:
            name.close()
            return False
    _reserved[port] = name
    return True


def _first_ephemeral() -> int:
    try:
        low = int(EPHEMERAL_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return FIRST_EPHEMERAL
    return low if low - FIRST_PORT >= PICKS_MAX else FIRST_EPHEMERAL


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    """True when a server could listen there now (a socket in TIME_WAIT does not count as taken)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as failure:
            if failure.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
        return True


def wait_for_port(port: int, *, alive: Callable[[], bool], deadline_s: float, host: str = LOOPBACK) -> bool:
    """Wait until something accepts connections; False when `alive` turns false or the time is over."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end and alive():
        try:
            with socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S):
                return alive()
        except OSError:
            time.sleep(POLL_INTERVAL_S)
    return False
