"""The sealed form: AES-256-GCM over a JSON object of texts, bound to brand, key and context.

JSON is padded with blanks, which it ignores, to steps of 32 bytes: the length of an e-mail address is not told. A nonce
is random; NIST SP 800-38D allows 2**32 of them under one key, a person or a brand's day stays far below.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError

from vitrin.kit.seal.errors import SealCannotOpen
from vitrin.protos.kit.v1.seal_pb2 import Sealed

NONCE_BYTES: Final = 12
STEP_BYTES: Final = 32
PLAIN_BYTES_MAX: Final = 256 * 1024


class Fields(Mapping[str, str]):
    """Personal data, opened. Its repr tells the names of the fields and nothing else, wherever it is logged."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Fields({', '.join(sorted(self._values))})"


@dataclass(frozen=True, slots=True)
class Erased:
    """The key was destroyed, and with it what it sealed. `at` None: accounts does not say."""

    at: datetime | None = None


def seal(cipher: AESGCM, key_id: str, brand: UUID, fields: Mapping[str, str], context: str) -> Sealed:
    """Raises ValueError for more than PLAIN_BYTES_MAX."""
    plain = json.dumps(dict(fields), ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )
    if len(plain) > PLAIN_BYTES_MAX:
        raise ValueError(
            f"{len(plain):,} bytes of personal fields; {PLAIN_BYTES_MAX:,} can be sealed at once"
        )
    padded = plain.ljust(-(-len(plain) // STEP_BYTES) * STEP_BYTES)
    nonce = os.urandom(NONCE_BYTES)
    return Sealed(
        key_id=key_id,
        nonce=nonce,
        ciphertext=cipher.encrypt(nonce, padded, _binding(brand, key_id, context)),
    )


def open_(cipher: AESGCM, sealed: Sealed, brand: UUID, context: str) -> Fields:
    """Raises SealCannotOpen."""
    try:
        plain = cipher.decrypt(sealed.nonce, sealed.ciphertext, _binding(brand, sealed.key_id, context))
    except (InvalidTag, ValueError):
        raise SealCannotOpen(
            f"what key {sealed.key_id[:40]!r} sealed does not belong to {context}, or was changed"
        ) from None
    values: dict[str, str] = json.loads(plain.decode("utf-8", "surrogatepass"))
    return Fields(values)


def pack(sealed: Sealed) -> bytes:
    """For a column of bytes; `unpack` reverses it."""
    return sealed.SerializeToString()


def unpack(packed: bytes) -> Sealed:
    """Raises SealCannotOpen."""
    try:
        return Sealed.FromString(packed)
    except DecodeError:
        raise SealCannotOpen("these bytes are nothing sealed") from None


def _binding(brand: UUID, key_id: str, context: str) -> bytes:
    """Fixed and prefixed lengths: no two of (brand, key, context) read the same."""
    key, where = key_id.encode(), context.encode()
    return b"vitrin seal 1\0" + brand.bytes + len(key).to_bytes(4, "big") + key + where
