"""Sealing with a ring of the service's own: for what stands in its spool while accounts may be down."""

from typing import Final

from vitrin.kit.crypto import NONCE_BYTES, CannotOpen, KeyUnknown, TokenCipher
from vitrin.kit.crypto import Sealed as RingSealed
from vitrin.kit.seal.errors import SealCannotOpen, SealKeyUnknown

_VERSION: Final = b"\x01"


class SpoolSeal:
    """Whole records, any bytes. The key is that of a service, not of a person: what it sealed must be gone by its age,
    and what leaves the spool is sealed anew by `Sealer`."""

    def __init__(self, ring: TokenCipher) -> None:
        self._ring = ring

    @classmethod
    def parse(cls, ring: str) -> "SpoolSeal":
        """From "kid:base64,kid2:base64", the first key current; ids up to 255 bytes. Raises KeyRingInvalid."""
        return cls(TokenCipher.parse(ring))

    def __repr__(self) -> str:
        return f"SpoolSeal({self._ring!r})"

    def seal(self, record: bytes, *, context: str) -> bytes:
        """`context` names the spool. Longer than the record by 30 bytes and the key's id."""
        sealed = self._ring.seal_bytes(record, _binding(context))
        key = sealed.key_id.encode()
        return _VERSION + bytes([len(key)]) + key + sealed.nonce + sealed.ciphertext

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Raises SealCannotOpen: changed, or of another spool; SealKeyUnknown where its key has left the ring."""
        if len(sealed) < 2 or sealed[:1] != _VERSION or len(sealed) < 2 + sealed[1] + NONCE_BYTES:
            raise SealCannotOpen("these bytes are nothing sealed")
        key_end = 2 + sealed[1]
        nonce_end = key_end + NONCE_BYTES
        key_id = sealed[2:key_end].decode("utf-8", "replace")
        try:
            return self._ring.open_bytes(
                RingSealed(key_id, sealed[key_end:nonce_end], sealed[nonce_end:]), _binding(context)
            )
        except KeyUnknown as error:
            raise SealKeyUnknown(str(error)) from None
        except CannotOpen as error:
            raise SealCannotOpen(str(error)) from None


def _binding(context: str) -> bytes:
    return b"vitrin spool seal 1\0" + context.encode()
