"""Receiving a file: streamed into chunks, counted, its end verified. Nothing of it is applied here."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from vitrin.catalog import repository_imports as repository
from vitrin.catalog.errors import FormatUnknown, UploadIncomplete, UploadRepeated
from vitrin.catalog.importing import ImportFormat
from vitrin.catalog.service_places import Places
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.ids import BrandId, ImportId, new_uuid
from vitrin.kit.logs import get_logger

CHUNK_BYTES: Final = 1024 * 1024
FILE_NAME_CHARS_MAX: Final = 255
AUTO: Final = "auto"
_log = get_logger("vitrin.catalog.imports")


@dataclass(frozen=True, slots=True)
class Announced:
    """What the sender said of the file; None: nothing."""

    size_bytes: int | None = None
    sha256: bytes | None = None


Finish = Callable[[ImportId, bytes, Callable[[], Awaitable[None]]], Awaitable[None]]
"""Gets the import, the SHA-256 of its file, and what stages it. Not staging it throws the file away: it is a repetition
of one that was staged already."""


class UploadService:
    def __init__(
        self, *, database: AppDatabase, places: Places, clock: Clock, wake: Callable[[], None]
    ) -> None:
        self._database = database
        self._places = places
        self._clock = clock
        self._wake = wake

    async def receive(
        self,
        brand: BrandId,
        actor: str,
        chunks: AsyncIterable[bytes],
        *,
        requested_format: str,
        file_name: Callable[[], str],
        announced: Announced,
        finish: Finish,
    ) -> None:
        """Stored and verified, then `finish` decides. Whatever goes wrong, or if it does not stage the file, the import
        ends as `aborted` with nothing applied. `file_name` is asked at the end: a form names it on the way.

        Raises FormatUnknown, UploadIncomplete, and what the stream raises.
        """
        if requested_format != AUTO and requested_format not in set(ImportFormat):
            raise FormatUnknown(f"There is no format {requested_format[:60]!r}.", field="format")
        import_id = ImportId(new_uuid())
        async with self._database.write(brand) as tx:
            await self._places.of(tx, brand)
            await repository.create(
                tx,
                brand=brand,
                import_id=import_id,
                requested_format=requested_format,
                actor=actor,
                now=self._clock(),
            )
        try:
            received, digest = await self._store(brand, import_id, chunks)
            _verify(announced, received, digest)
            staged = False

            async def stage() -> None:
                nonlocal staged
                proven = announced.sha256 is not None
                await self._stage(brand, import_id, digest, end_proven=proven, file_name=file_name())
                staged = True

            await finish(import_id, digest, stage)
        except BaseException as error:
            await asyncio.shield(self._abort(brand, import_id, error))
            raise
        if staged:
            self._wake()
        else:
            await self._abort(brand, import_id, UploadRepeated())

    async def _store(
        self, brand: BrandId, import_id: ImportId, chunks: AsyncIterable[bytes]
    ) -> tuple[int, bytes]:
        digest, buffer, seq, received = hashlib.sha256(), bytearray(), 0, 0
        async for part in chunks:
            digest.update(part)
            received += len(part)
            buffer += part
            if len(buffer) >= CHUNK_BYTES:
                await self._add(brand, import_id, seq, bytes(buffer))
                buffer.clear()
                seq += 1
        if buffer:
            await self._add(brand, import_id, seq, bytes(buffer))
        return received, digest.digest()

    async def _add(self, brand: BrandId, import_id: ImportId, seq: int, data: bytes) -> None:
        async with self._database.write(brand) as tx:
            is_open = await repository.add_chunk(
                tx, brand=brand, import_id=import_id, seq=seq, data=data, now=self._clock()
            )
        if not is_open:
            raise UploadIncomplete("The upload was silent for too long and was aborted.")

    async def _stage(
        self, brand: BrandId, import_id: ImportId, digest: bytes, *, end_proven: bool, file_name: str
    ) -> None:
        async with self._database.write(brand) as tx:
            staged = await repository.stage(
                tx,
                brand=brand,
                import_id=import_id,
                sha256=digest,
                end_proven=end_proven,
                file_name=file_name[:FILE_NAME_CHARS_MAX].replace("\x00", ""),
                now=self._clock(),
            )
        if not staged:
            raise UploadIncomplete("The upload was silent for too long and was aborted.")

    async def _abort(self, brand: BrandId, import_id: ImportId, error: BaseException) -> None:
        _log.warning("upload_aborted", import_id=str(import_id), reason=type(error).__name__)
        async with self._database.write(brand) as tx:
            await repository.finish(
                tx,
                brand=brand,
                import_id=import_id,
                state="aborted",
                only_from="uploading",
                problem={
                    "code": getattr(error, "code", UploadIncomplete.code),
                    "message": getattr(error, "detail", "the connection ended before the file did"),
                    "fix": error.fix if isinstance(error, UploadRepeated) else UploadIncomplete.fix,
                },
                now=self._clock(),
            )


def _verify(announced: Announced, received: int, digest: bytes) -> None:
    if received == 0:
        raise UploadIncomplete("The body is empty.", fix="Send the file as the body.")
    if announced.size_bytes is not None and announced.size_bytes != received:
        raise UploadIncomplete(
            f"{received} bytes arrived of {announced.size_bytes} that Content-Length announced.",
            field="Content-Length",
        )
    if announced.sha256 is not None and not hmac.compare_digest(announced.sha256, digest):
        raise UploadIncomplete(
            f"The file that arrived has the SHA-256 {digest.hex()}, not the one that was announced.",
            field="X-Content-SHA256",
        )
