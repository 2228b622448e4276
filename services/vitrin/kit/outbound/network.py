"""Names and connections. The address that was checked is the one that is connected to: a name is looked up once per
connection, here, and what connects gets the address. Host header and certificate check keep the name.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Final, Protocol
from weakref import WeakValueDictionary

import httpcore

from vitrin.kit.logs import get_logger
from vitrin.kit.outbound.addresses import Address, address_in, is_public
from vitrin.kit.outbound.errors import AddressNotPublic, NameUnresolved
from vitrin.kit.outbound.policy import OutboundPolicy

_log = get_logger("vitrin.outbound")

LOOKUPS_MAX: Final = 64
"""Names looked up at once: the system's resolver blocks a thread, and a brand's name server may never answer."""
LOOKUPS_OF_ONE_MAX: Final = 4
"""Of them below one parent name, so that a brand whose name servers are dead holds up nobody else."""
ADDRESSES_TRIED_MAX: Final = 4
SocketOptions = Iterable[
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
]


LookUp = Callable[[str, int], list[Address]]
"""Blocks. Raises OSError, UnicodeError."""


class Resolver(Protocol):
    async def addresses(self, host: str, port: int) -> Sequence[Address]:
        """All addresses of a name, best first. Raises NameUnresolved."""

    def close(self) -> None: ...


class SystemResolver:
    """getaddrinfo on threads of its own. Whoever asks for a name that is looked up already waits with the first: a name
    holds one thread, however many calls wait for it, and holds it until the system gives up, not until they do."""

    def __init__(self, look_up: LookUp | None = None) -> None:
        self._look_up = look_up or _look_up
        self._threads = ThreadPoolExecutor(LOOKUPS_MAX, thread_name_prefix="outbound-names")
        self._running: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def addresses(self, host: str, port: int) -> Sequence[Address]:
        running = self._running.get((host, port))
        if running is None:
            running = asyncio.create_task(self._one(host, port), name=f"look-up of {host}")
            self._running[host, port] = running
            running.add_done_callback(lambda ended: self._ended(host, port, ended))
        try:
            found = await asyncio.shield(running)
        except (OSError, UnicodeError):
            raise NameUnresolved(f"{host} has no address") from None
        return list(dict.fromkeys(found))

    async def _one(self, host: str, port: int) -> list[Address]:
        parent = parent_of(host)
        places = self._places.get(parent) or asyncio.Semaphore(LOOKUPS_OF_ONE_MAX)
        self._places[parent] = places
        async with places:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, host, port)

    def _ended(self, host: str, port: int, task: asyncio.Task[list[Address]]) -> None:
        del self._running[host, port]
        if not task.cancelled():
            task.exception()  # read, also where nobody waits any more

    def close(self) -> None:
        for running in list(self._running.values()):
            running.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)


def parent_of(host: str) -> str:
    """The name under which its owner can make others: shop.example, shop.co.uk. A guess without the list of public
    suffixes, good enough for sharing places."""
    labels = host.rsplit(".", 3)[-3:]
    return ".".join(labels if len(labels) == 3 and len(labels[1]) <= 3 else labels[-2:])


def _look_up(host: str, port: int) -> list[Address]:
    """The name as it stands, below no search domain of this machine. `AI_ADDRCONFIG`: no IPv6 address where this
    machine has no IPv6."""
    literal = address_in(host) is not None
    whole = host if literal or "." not in host else f"{host}."
    flags = 0 if literal else socket.AI_ADDRCONFIG
    found = socket.getaddrinfo(whole, port, type=socket.SOCK_STREAM, flags=flags)
    return [ip_address(str(where[0])) for _, _, _, _, where in found]


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """What the connection pool connects through; there is no way around it."""

    def __init__(self, policy: OutboundPolicy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver
        self._real = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 the interface is httpcore's
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises AddressNotPublic, NameUnresolved, httpcore.ConnectError or ConnectTimeout."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._checked(host.lower().rstrip("."), port)
                share_s = None if timeout is None else timeout / len(addresses)
                return await self._first(addresses, port, share_s, local_address, socket_options)
        except TimeoutError:
            raise httpcore.ConnectTimeout("no connection in time") from None

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: SocketOptions | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise AddressNotPublic("a socket file is no address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _checked(self, host: str, port: int) -> Sequence[Address]:
        literal = address_in(host)
        addresses = [literal] if literal is not None else await self._resolver.addresses(host, port)
        if not addresses:
            raise NameUnresolved(f"{host} has no address")
        try:
            self._policy.check_resolved(host, addresses)
        except AddressNotPublic:
            private = next((str(address) for address in addresses if not is_public(address)), "")
            _log.warning("outbound_address_refused", host=host, address=private)
            raise
        return addresses[:ADDRESSES_TRIED_MAX]

    async def _first(
        self,
        addresses: Sequence[Address],
        port: int,
        share_s: float | None,
        local_address: str | None,
        socket_options: SocketOptions | None,
    ) -> httpcore.AsyncNetworkStream:
        """The first that connects; one that swallows packets has its share of the time only."""
        for address in addresses[:-1]:
            try:
                return await self._real.connect_tcp(
                    str(address), port, share_s, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._real.connect_tcp(str(addresses[-1]), port, share_s, local_address, socket_options)
