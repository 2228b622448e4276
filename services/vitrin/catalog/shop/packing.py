"""How a webhook lies in the spool and in the table: sealed, since its body holds personal data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from vitrin.kit.clock import from_us, to_us
from vitrin.kit.crypto import NONCE_BYTES, CannotOpen, Sealed, TokenCipher
from vitrin.kit.ids import BrandId, ConnectionId

_LENGTH_BYTES: Final = 4
_SPOOL_AAD: Final = b"vitrin catalog webhook"
PACKED_HEAD_BYTES_MAX: Final = 64 * 1024
"""What headers, ids and the seal add to a body."""

ShopKey = tuple[BrandId, ConnectionId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One webhook as it came. `connection` None: at the platform's own address. `signed_for`: the shops whose secret
    signed it; none: nobody could look yet."""

    platform: str
    connection: ConnectionId | None
    signed_for: tuple[ShopKey, ...]
    received_at: datetime
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def pack(arrival: Arrival) -> bytes:
    head = orjson.dumps(
        {
            "platform": arrival.platform,
            "connection": None if arrival.connection is None else str(arrival.connection),
            "signed_for": [[str(brand), str(connection)] for brand, connection in arrival.signed_for],
            "received_at_us": to_us(arrival.received_at),
            "headers": dict(arrival.headers),
        }
    )
    return len(head).to_bytes(_LENGTH_BYTES, "big") + head + arrival.body


def unpack(packed: bytes) -> Arrival:
    end = _LENGTH_BYTES + int.from_bytes(packed[:_LENGTH_BYTES], "big")
    head = orjson.loads(packed[_LENGTH_BYTES:end])
    received_at = from_us(head["received_at_us"])
    assert received_at is not None
    return Arrival(
        platform=head["platform"],
        connection=None if head["connection"] is None else ConnectionId(UUID(head["connection"])),
        signed_for=tuple((BrandId(UUID(b)), ConnectionId(UUID(c))) for b, c in head["signed_for"]),
        received_at=received_at,
        headers=head["headers"],
        body=packed[end:],
    )


def seal_for_spool(cipher: TokenCipher, arrival: Arrival) -> bytes:
    sealed = cipher.seal_bytes(pack(arrival), _SPOOL_AAD)
    key_id = sealed.key_id.encode()
    return bytes([len(key_id)]) + key_id + sealed.nonce + sealed.ciphertext


def open_from_spool(cipher: TokenCipher, record: bytes) -> Arrival:
    """Raises KeyUnknown, CannotOpen."""
    end = 1 + record[0]
    try:
        key_id = record[1:end].decode()
    except UnicodeDecodeError:
        raise CannotOpen("the record names no key") from None
    nonce, ciphertext = record[end : end + NONCE_BYTES], record[end + NONCE_BYTES :]
    return unpack(cipher.open_bytes(Sealed(key_id, nonce, ciphertext), _SPOOL_AAD))


def row_aad(key: ShopKey, delivery_id: str) -> bytes:
    """Binds a body to its row."""
    return f"vitrin shop delivery {key[0]} {key[1]} {delivery_id}".encode()
