"""A stored answer may hold what is shown once (a new API key), so it is sealed with the secret of the caller's own key.

The database keeps of that secret its SHA-256 only. Whoever reads the table can open nothing, and no other key of the
brand gets an answer that was not meant for it.
"""

import hashlib
import hmac
import os
import zlib
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES: Final = 12
_SEAL: Final = b"vitrin idempotency: seal"
_FINGERPRINT: Final = b"vitrin idempotency: fingerprint"


class Sealer:
    """Of one caller. `token` has 256 random bits, which is what makes a plain HMAC a good enough key derivation."""

    def __init__(self, token: str) -> None:
        secret = token.encode()
        self._cipher = AESGCM(hmac.digest(secret, _SEAL, hashlib.sha256))
        self._fingerprint_key = hmac.digest(secret, _FINGERPRINT, hashlib.sha256)

    def fingerprint(self, *parts: bytes) -> bytes:
        """32 bytes that stand for the request. Keyed: a body may hold a token that could be guessed from its hash."""
        digest = hmac.new(self._fingerprint_key, digestmod=hashlib.sha256)
        for part in parts:
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.digest()

    def seal(self, answer: bytes, name: str) -> bytes:
        """`name`, the idempotency key, is bound to it."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, zlib.compress(answer, 1), name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Raises cryptography's InvalidTag for what another caller sealed or somebody changed."""
        return zlib.decompress(
            self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode())
        )
