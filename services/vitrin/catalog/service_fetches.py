"""Imports by address: accepted at the door, fetched by the worker through the outbound guard, staged like an upload.

A fetch is leased work: a worker that is killed is followed by one that fetches the file from its beginning. Nothing is
applied before the file is whole: its length or its last chunk has come, and its digest is right where one was given.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final

from vitrin.catalog import repository_fetches as repository
from vitrin.catalog.errors import FetchesWaiting, FetchRefused, FormatUnknown, UploadIncomplete
from vitrin.catalog.importing import ImportFormat
from vitrin.catalog.repository_fetches import FetchLease
from vitrin.catalog.service_import_run import LeaseLost, Stopped
from vitrin.catalog.service_places import Places
from vitrin.catalog.service_uploads import AUTO, CHUNK_BYTES, FILE_NAME_CHARS_MAX
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.ids import BrandId, ImportId, new_uuid
from vitrin.kit.outbound import Outbound, OutboundAnswer, OutboundPolicy, check_url, shown
from vitrin.kit.retry_after import parse_retry_after

WAITING_MAX: Final = 100
"""Addresses of a brand that are not fetched yet (a few more when they come at the same moment)."""
SLOW_AFTER_S: Final = 60.0
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_ACCEPT: Final = "text/csv, text/plain;q=0.9, application/octet-stream;q=0.9, */*;q=0.1"
_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})
_FIXES: Final = {
    401: "It wants somebody to sign in: use an address that carries its own key.",
    403: "Its server refuses us: allow it to be read without signing in, or use an address that carries its own key.",
    404: "There is nothing: check the address, and that a signed one has not expired.",
    410: "There is nothing any more: check the address, and that a signed one has not expired.",
}


class FetchService:
    def __init__(
        self,
        *,
        database: AppDatabase,
        places: Places,
        clock: Clock,
        policy: OutboundPolicy,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._places = places
        self._clock = clock
        self._policy = policy
        self._wake = wake

    async def accept(
        self,
        brand: BrandId,
        actor: str,
        *,
        url: str,
        requested_format: str,
        file_name: str,
        sha256: bytes | None,
    ) -> ImportId:
        """Raises FormatUnknown, UrlRefused, AddressNotPublic, FetchesWaiting. Where the
        name leads is judged when it is fetched."""
        if requested_format != AUTO and requested_format not in set(ImportFormat):
            raise FormatUnknown(f"There is no format {requested_format[:60]!r}.", field="format")
        checked = check_url(url, self._policy)
        import_id = ImportId(new_uuid())
        async with self._database.write(brand) as tx:
            await self._places.of(tx, brand)
            if await repository.waiting(tx, brand=brand) >= WAITING_MAX:
                raise FetchesWaiting(f"{WAITING_MAX} addresses wait already.", retry_after_s=60)
            await repository.create(
                tx,
                brand=brand,
                import_id=import_id,
                requested_format=requested_format,
                actor=actor,
                url=str(checked),
                shown_url=shown(checked),
                file_name=(file_name or checked.path.rsplit("/", 1)[-1])[:FILE_NAME_CHARS_MAX],
                sha256=sha256,
                now=self._clock(),
            )
            tx.after_commit(self._wake)
        return import_id


class Fetch:
    """One attempt under its lease."""

    def __init__(
        self,
        lease: FetchLease,
        *,
        database: WorkerDatabase,
        outbound: Outbound,
        clock: Clock,
        stop: asyncio.Event,
        lease_time: timedelta,
        bytes_max: int,
        rate_min: int,
    ) -> None:
        self._lease = lease
        self._database = database
        self._outbound = outbound
        self._clock = clock
        self._stop = stop
        self._lease_time = lease_time
        self._bytes_max = bytes_max
        self._rate_min = rate_min

    async def run(self) -> None:
        """Staged when it returns. Raises OutboundFailure, FetchRefused, UploadIncomplete, LeaseLost, Stopped, and
        database errors; after any of them a new attempt may follow."""
        works: list[Coroutine[Any, Any, None]] = [self._fetch(), self._beat(), self._stopped()]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        fetched = tasks[0] if tasks[0] in done else done.pop()
        fetched.result()

    async def _beat(self) -> None:
        """Keeps the lease while a slow server has nothing for us."""
        while True:
            await asyncio.sleep(self._lease_time.total_seconds() / 3)
            await self._hold({})

    async def _stopped(self) -> None:
        await self._stop.wait()
        raise Stopped

    async def _fetch(self) -> None:
        async with self._database.write([self._lease.brand]) as tx:
            if not await repository.hold(tx, self._lease, {"lease_owner": self._lease.owner}):
                raise LeaseLost
            await repository.clear(tx, self._lease)
        async with self._outbound.stream(
            "GET", self._lease.url, headers={"accept": _ACCEPT}, body_bytes_max=self._bytes_max
        ) as answer:
            _check(answer, proven=self._lease.sha256 is not None)
            await self._hold({"bytes_total": _total(answer)})
            digest = await self._store(answer)
        if answer.bytes_read == 0:
            raise FetchRefused("the address answered with an empty file", again=True)
        expected = self._lease.sha256
        if expected is not None and not hmac.compare_digest(expected, digest):
            raise UploadIncomplete(
                f"The file that the address gave has the SHA-256 {digest.hex()}, not the one that was announced.",
                field="sha256",
                fix="Name the digest of the file that is there now, or leave it out.",
            )
        await self._hold(
            {
                "state": "staged",
                "sha256": digest,
                "end_proven": expected is not None,
                "fetch_url": "",
                "problem": None,
                "attempts": 0,
                "lease_owner": "",
                "lease_until": None,
            }
        )

    async def _store(self, answer: OutboundAnswer) -> bytes:
        digest, buffer, seq = hashlib.sha256(), bytearray(), 0
        begun = time.monotonic()
        async for part in answer.chunks():
            if too_slow(answer.bytes_read, time.monotonic() - begun, rate_min=self._rate_min):
                raise FetchRefused(
                    f"the file comes with less than {self._rate_min:,} bytes a second",
                    again=True,
                    fix="Let its server send faster, or compress the file (gzip).",
                )
            digest.update(part)
            buffer += part
            while len(buffer) >= CHUNK_BYTES:
                await self._add(seq, bytes(buffer[:CHUNK_BYTES]), answer.bytes_read)
                del buffer[:CHUNK_BYTES]
                seq += 1
        if buffer:
            await self._add(seq, bytes(buffer), answer.bytes_read)
        return digest.digest()

    async def _add(self, seq: int, data: bytes, bytes_read: int) -> None:
        async with self._database.write([self._lease.brand]) as tx:
            now = self._clock()
            values = {"bytes": bytes_read, "updated_at": now, "lease_until": now + self._lease_time}
            if not await repository.hold(tx, self._lease, values):
                raise LeaseLost
            await repository.add_chunk(tx, self._lease, seq=seq, data=data)

    async def _hold(self, values: dict[str, object]) -> None:
        now = self._clock()
        async with self._database.write([self._lease.brand]) as tx:
            held = {"updated_at": now, "lease_until": now + self._lease_time, **values}
            if not await repository.hold(tx, self._lease, held):
                raise LeaseLost


def too_slow(bytes_read: int, elapsed_s: float, *, rate_min: int) -> bool:
    """Whether a server drips: it would hold one of a few places for an hour."""
    return elapsed_s > SLOW_AFTER_S and bytes_read < rate_min * elapsed_s


def _check(answer: OutboundAnswer, *, proven: bool) -> None:
    """Raises FetchRefused where the answer is not a file whose end can be told."""
    if answer.status != 200:
        asked = parse_retry_after(answer.headers.get("retry-after"))
        raise FetchRefused(
            f"the address answered with status {answer.status}",
            again=answer.status in _AGAIN,
            fix=_FIXES.get(answer.status),
            retry_after_s=asked.total_seconds() if asked else None,
        )
    kind = answer.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind in _PAGES:
        raise FetchRefused(f"the address answered with a web page ({kind}), not with a file")
    if not answer.end_proven and not proven:
        raise FetchRefused(
            "the answer says neither its length nor where it ends, so half of it could not be told from all of it",
            fix="Let the server send Content-Length or chunks, or name the file's sha256.",
        )


def _total(answer: OutboundAnswer) -> int | None:
    """Of a compressed body the length says nothing."""
    return None if answer.headers.get("content-encoding") else answer.bytes_declared
