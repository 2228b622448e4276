"""Who sends: keys that were checked, with the origins of their brand, in memory and on the disk.

    checked less than 0.25 s ago            let through
    less than 1 s ago                       let through, and checked again meanwhile
    else                                    checked first; that bounds how long a revoked key is honoured
    nobody can check it (PostgreSQL away)   let through by what is held of it, up to three days after its last check

The file is for a restart while PostgreSQL is away. It holds what the replica of keys holds: hashes, no secrets.
"""

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from vitrin.kit.access import KeyDirectory, Principal
from vitrin.kit.access.errors import AccessUnavailable, KeyExpired
from vitrin.kit.clock import Clock
from vitrin.kit.errors import Unauthenticated
from vitrin.kit.ids import BrandId, KeyId
from vitrin.kit.logs import get_logger
from vitrin.retargeting.collector import metrics

FRESH_S: Final = 0.25
SERVED_S: Final = 1.0
CHECK_S: Final = 5.0
"""Longest wait for the check of a key that is not held."""
CHECK_HELD_S: Final = 0.7
"""The same where it is, and decides then: less than the time in which it is let through meanwhile."""
AWAY_S: Final = 2.0
"""After a check that was not possible the next one is made so much later."""
HELD_S: Final = 72 * 3600.0
KEYS_MAX: Final = 10_000
SAVE_EVERY_S: Final = 2.0
TIMES_EVERY_S: Final = 300.0
"""How often the times of the last checks are written when nothing else changed."""
FILE: Final = "keys.msgpack"
_log = get_logger("vitrin.retargeting.keys")


class BrandOfKey(msgspec.Struct, frozen=True):
    """What the door needs of a key's brand."""

    origins: tuple[str, ...]
    expires_at: datetime | None = None


Look = Callable[[Principal], Awaitable[BrandOfKey]]


class Held(msgspec.Struct):
    """A key that was checked. `checked_at`: since 1970 in seconds, by the clock of the wall."""

    key_id: str
    brand: bytes
    brand_id: str
    kind: Literal["secret", "publishable"]
    mode: Literal["live", "test"]
    scopes: frozenset[str]
    origins: frozenset[str]
    expires_at: datetime | None
    checked_at: float
    fresh_at: float = float("-inf")
    """By the monotonic clock of this process."""


class _File(msgspec.Struct):
    version: int
    keys: dict[str, Held]


class DoorKeys:
    """Not for threads. `run` beside the door keeps the file."""

    def __init__(
        self,
        *,
        directory: KeyDirectory,
        look: Look,
        folder: Path,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._look = look
        self._path = folder / FILE
        self._clock = clock
        self._monotonic = monotonic
        self._held: OrderedDict[bytes, Held] = OrderedDict()
        self._checking: dict[bytes, asyncio.Task[Held]] = {}
        self._dirty = asyncio.Event()
        self._saved_at = monotonic()

    @property
    def count(self) -> int:
        return len(self._held)

    def load(self) -> None:
        """What an earlier process left; a file that cannot be read is none."""
        try:
            found = msgspec.msgpack.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("held_keys_unreadable", reason=str(error))
            return
        for digest, held in found.keys.items():
            held.fresh_at = float("-inf")
            self._held[bytes.fromhex(digest)] = held

    async def of(self, token: str) -> Held:
        """Raises Unauthenticated, AccessUnavailable."""
        digest = hashlib.sha256(token.encode()).digest()
        held = self._held.get(digest)
        if held is not None:
            age_s = self._monotonic() - held.fresh_at
            if age_s < FRESH_S:
                return held
            if age_s < SERVED_S:
                self._check(digest, token)
                return held
        return await asyncio.shield(self._check(digest, token))

    def _check(self, digest: bytes, token: str) -> "asyncio.Task[Held]":
        """One at a time for each key, however many wait."""
        task = self._checking.get(digest)
        if task is None:
            task = self._checking[digest] = asyncio.create_task(self._checked(digest, token))
            task.add_done_callback(lambda done: self._over(digest, done))
        return task

    def _over(self, digest: bytes, task: "asyncio.Task[Held]") -> None:
        del self._checking[digest]
        if not task.cancelled():
            task.exception()  # whoever waited has it

    async def _checked(self, digest: bytes, token: str) -> Held:
        try:
            async with asyncio.timeout(CHECK_HELD_S if digest in self._held else CHECK_S):
                principal = await self._directory.authenticate(token)
                brand = await self._look(principal)
        except Unauthenticated:
            if self._held.pop(digest, None) is not None:
                self._dirty.set()
            raise
        except (AccessUnavailable, SQLAlchemyError, OSError, TimeoutError) as error:
            return self._by_what_is_held(digest, error)
        return self._keep(digest, principal, brand)

    def _by_what_is_held(self, digest: bytes, error: Exception) -> Held:
        held, now = self._held.get(digest), self._clock()
        if held is None or now.timestamp() - held.checked_at > HELD_S:
            raise AccessUnavailable(
                "The key cannot be checked at the moment, and this process has not seen it of late.",
                retry_after_s=5,
            ) from error
        if held.expires_at is not None and held.expires_at <= now:
            raise KeyExpired
        metrics.KEYS_HELD.inc()
        held.fresh_at = self._monotonic() + AWAY_S
        return held

    def _keep(self, digest: bytes, principal: Principal, brand: BrandOfKey) -> Held:
        held = Held(
            key_id=principal.key_id,
            brand=principal.brand_id.bytes,
            brand_id=str(principal.brand_id),
            kind=principal.kind,
            mode=principal.mode,
            scopes=principal.scopes,
            origins=frozenset(brand.origins),
            expires_at=brand.expires_at,
            checked_at=self._clock().timestamp(),
            fresh_at=self._monotonic(),
        )
        before = self._held.get(digest)
        if before is None or before.origins != held.origins or before.scopes != held.scopes:
            self._dirty.set()
        self._held[digest] = held
        self._held.move_to_end(digest)
        if len(self._held) > KEYS_MAX:
            self._held.popitem(last=False)
        return held

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; what is new is on the disk within two seconds."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                dirty = asyncio.create_task(self._dirty.wait())
                await asyncio.wait(
                    {stopping, dirty}, timeout=TIMES_EVERY_S, return_when=asyncio.FIRST_COMPLETED
                )
                dirty.cancel()
                if (
                    self._dirty.is_set()
                    or self._monotonic() - self._saved_at >= TIMES_EVERY_S
                    or stop.is_set()
                ):
                    await self.save()
                await asyncio.wait({stopping}, timeout=SAVE_EVERY_S)
        finally:
            stopping.cancel()

    async def save(self) -> None:
        self._dirty.clear()
        self._saved_at = self._monotonic()
        document = msgspec.msgpack.encode(
            _File(1, {digest.hex(): held for digest, held in self._held.items()})
        )
        try:
            await asyncio.to_thread(_replace, self._path, document)
        except OSError as error:
            self._dirty.set()
            _log.warning("held_keys_not_saved", reason=str(error))


def principal_of(held: Held) -> Principal:
    """For what is told of its use."""
    return Principal(
        brand_id=BrandId(UUID(bytes=held.brand)),
        key_id=KeyId(held.key_id),
        kind=held.kind,
        mode=held.mode,
        role="",
        scopes=held.scopes,
    )


def _replace(path: Path, document: bytes) -> None:
    """Old or new, whole and durable, readable by its owner only."""
    draft = path.with_suffix(".draft")
    with suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(document)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
