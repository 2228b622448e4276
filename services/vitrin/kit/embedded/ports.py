"""TCP ports of this machine: is one free, find a free one, wait until one answers."""

import errno
import socket
import time
from collections.abc import Callable

LOOPBACK = "127.0.0.1"
CONNECT_TIMEOUT_S = 0.5
POLL_INTERVAL_S = 0.02


def free_port(host: str = LOOPBACK) -> int:
    """A port that was free a moment ago; another process may take it before the caller does."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


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
