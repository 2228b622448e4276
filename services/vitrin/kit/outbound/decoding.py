"""Decoding of a body in bounded steps: 64 KiB of gzip can hold 66 MB, in memory before anybody counts."""

import zlib
from collections.abc import Iterator
from typing import Final

from vitrin.kit.outbound.errors import AnswerBroken, AnswerTruncated

STEP_BYTES: Final = 256 * 1024
"""What one step decodes at most."""
GZIP: Final = frozenset({"gzip", "x-gzip"})
ACCEPTED: Final = "gzip"
"""What we ask for. Others (br, zstd) need libraries, and their bombs are larger still."""


class Plain:
    def feed(self, data: bytes) -> Iterator[bytes]:
        if data:
            yield data

    def end(self) -> None:
        """Nothing to check: whether a plain body is whole, only its framing tells."""


class Gunzip:
    """gzip, several members too. Its trailers (length and CRC) prove the end and the content."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._member.eof:
                    data = data.lstrip(b"\0")  # padding of tapes and blocks, which gzip(1) ignores too
                    if not data:
                        return
                    self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
                self._begun = True
                out = self._member.decompress(data, STEP_BYTES)
                data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
                yield out
        except zlib.error as error:
            raise AnswerBroken(f"the body is said to be gzip and is not: {error}") from None

    def end(self) -> None:
        if self._begun and not self._member.eof:
            raise AnswerTruncated("the compressed body ended in the middle")


def proves_its_end(encoding: str) -> bool:
    """Whether a body in this encoding tells by itself that it is whole."""
    return encoding.strip().lower() in GZIP


def decoder_of(encoding: str) -> Plain | Gunzip:
    """By the header Content-Encoding. Raises AnswerBroken for what was not asked for."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return Plain()
    if name in GZIP:
        return Gunzip()
    raise AnswerBroken(
        f"the body is encoded as '{name[:40]}', which was not asked for",
        fix="Let the address answer plainly or with gzip, as the header Accept-Encoding says.",
    )
