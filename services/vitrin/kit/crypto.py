"""Sealing of platform tokens at rest: AES-256-GCM with a ring of named keys, so that keys can be rotated."""

import base64
import binascii
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
MARK_BYTES = 16


class KeyRingInvalid(Exception):
    """The configured key ring cannot be used. The message never contains key material."""


class CannotOpen(Exception):
    """The sealed text is not what it claims: another key, another owner (aad), or changed bytes."""


class KeyUnknown(CannotOpen):
    """Its key is not in the ring: with the right ring it can be opened."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is stored: the id of the key, the nonce (12 bytes) and the ciphertext with its tag."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


class TokenCipher:
    """Seals with the current key, opens with any key of the ring. `aad` binds a text to its row."""

    def __init__(self, keys: Mapping[str, bytes], current: str) -> None:
        if current not in keys:
            raise KeyRingInvalid(f"the current key {current!r} is not in the ring")
        for key_id, key in keys.items():
            if len(key) != KEY_BYTES:
                raise KeyRingInvalid(f"key {key_id!r} has {len(key)} bytes, AES-256 needs {KEY_BYTES}")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._mark_keys = {key_id: hmac.digest(key, b"vitrin mark", "sha256") for key_id, key in keys.items()}
        self.current = current

    @classmethod
    def parse(cls, ring: str) -> "TokenCipher":
        """From "kid:base64,kid2:base64" (standard base64 of 32 bytes); the first key is the current one."""
        keys: dict[str, bytes] = {}
        for number, part in enumerate(ring.split(","), start=1):
            key_id, separator, encoded = part.strip().partition(":")
            if not separator or not key_id:
                raise KeyRingInvalid(f"entry {number} is not of the form key-id:base64")
            if key_id in keys:
                raise KeyRingInvalid(f"key id {key_id!r} appears twice")
            try:
                keys[key_id] = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                raise KeyRingInvalid(f"key {key_id!r} is not base64") from None
        return cls(keys, next(iter(keys)))

    def __repr__(self) -> str:
        return f"TokenCipher(keys={sorted(self._ciphers)}, current={self.current!r})"

    def marks(self, text: bytes) -> tuple[str, ...]:
        """A word that only the holder of a key can make of a text (HMAC-SHA256, 22 characters), by each key of the
        ring, the current one first. Its key is derived, so that no key serves two ciphers."""
        keys = [self._mark_keys[self.current], *self._mark_keys.values()]
        words = (hmac.digest(key, text, "sha256")[:MARK_BYTES] for key in dict.fromkeys(keys))
        return tuple(base64.urlsafe_b64encode(word).rstrip(b"=").decode() for word in words)

    def seal(self, plain: str, aad: bytes) -> Sealed:
        return self.seal_bytes(plain.encode(), aad)

    def open(self, sealed: Sealed, aad: bytes) -> str:
        """Raises CannotOpen."""
        return self.open_bytes(sealed, aad).decode()

    def seal_bytes(self, plain: bytes, aad: bytes) -> Sealed:
        nonce = os.urandom(NONCE_BYTES)
        ciphertext = self._ciphers[self.current].encrypt(nonce, plain, aad)
        return Sealed(key_id=self.current, nonce=nonce, ciphertext=ciphertext)

    def open_bytes(self, sealed: Sealed, aad: bytes) -> bytes:
        """Raises KeyUnknown, CannotOpen."""
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise KeyUnknown(f"key {sealed.key_id!r} is not in the ring")
        try:
            return cipher.decrypt(sealed.nonce, sealed.ciphertext, aad)
        except InvalidTag:
            raise CannotOpen("the sealed text does not belong here, or was changed") from None
