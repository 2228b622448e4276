"""How a request lies in the spool: its body as it came and which of its events were accepted, sealed as one block."""

from array import array
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from vitrin.kit.ids import BrandId
from vitrin.kit.seal import SealCannotOpen, SpoolSeal

CONTEXT: Final = "retargeting.events"
HEAD_BYTES_MAX: Final = 64 * 1024
_LENGTH_BYTES: Final = 4


class Taken(msgspec.Struct, frozen=True, array_like=True):
    """What the door knew of a request beside its body. `accepted`: indices into the body's events; empty: all."""

    brand: bytes
    key_id: str
    received_ms: int
    source: str
    test: bool
    ip: str
    user_agent: str
    gpc: bool
    accepted: bytes = b""

    @property
    def brand_id(self) -> BrandId:
        return BrandId(UUID(bytes=self.brand))

    @property
    def indices(self) -> Sequence[int] | None:
        return array("I", self.accepted) if self.accepted else None


def indices_bytes(indices: Sequence[int]) -> bytes:
    return array("I", indices).tobytes()


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Taken).decode


def seal_for_spool(seal: SpoolSeal, taken: Taken, body: bytes) -> bytes:
    head = _encode(taken)
    return seal.seal(len(head).to_bytes(_LENGTH_BYTES, "big") + head + body, context=CONTEXT)


def open_from_spool(seal: SpoolSeal, record: bytes) -> tuple[Taken, bytes]:
    """Raises SealCannotOpen."""
    plain = seal.open(record, context=CONTEXT)
    end = _LENGTH_BYTES + int.from_bytes(plain[:_LENGTH_BYTES], "big")
    try:
        return _decode(plain[_LENGTH_BYTES:end]), plain[end:]
    except msgspec.DecodeError as error:
        raise SealCannotOpen(f"the head of a request cannot be read: {error}") from None
