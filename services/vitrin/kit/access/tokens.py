"""The API key as text: `vk_<live|test>_<id>_<secret>`, publishable `pk_<live|test>_<id>_<secret>`.

The secret has 256 random bits, so it is stored as its plain SHA-256: there is nothing to guess, and a slow
hash on every request would only serve an attacker who wants to tire us.
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Literal

from vitrin.kit.access.errors import KeyMalformed
from vitrin.kit.ids import KeyId

KeyKind = Literal["secret", "publishable"]
KeyMode = Literal["live", "test"]

ID_BYTES = 10
SECRET_BYTES = 32
_PREFIX: dict[KeyKind, str] = {"secret": "vk", "publishable": "pk"}
_KIND: dict[str, KeyKind] = {"vk": "secret", "pk": "publishable"}
_TOKEN = re.compile(r"(vk|pk)_(live|test)_([a-z2-7]{16})_([A-Za-z0-9\-]{32,64})")


@dataclass(frozen=True, slots=True)
class Token:
    kind: KeyKind
    mode: KeyMode
    key_id: KeyId
    secret: str = field(repr=False)

    def text(self) -> str:
        return f"{_PREFIX[self.kind]}_{self.mode}_{self.key_id}_{self.secret}"

    def secret_hash(self) -> bytes:
        return hashlib.sha256(self.secret.encode()).digest()

    def matches(self, secret_hash: bytes) -> bool:
        """In constant time."""
        return hmac.compare_digest(self.secret_hash(), secret_hash)


def new_token(kind: KeyKind, mode: KeyMode) -> Token:
    key_id = base64.b32encode(secrets.token_bytes(ID_BYTES)).decode().lower()
    secret = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=")
    return Token(kind, mode, KeyId(key_id), secret.replace("_", "-"))


def looks_like_a_key(text: str) -> bool:
    """Of the form of an API key; whether there is such a key is another question."""
    return _TOKEN.fullmatch(text) is not None


def parse_token(text: str) -> Token:
    """Raises KeyMalformed, without repeating the text."""
    found = _TOKEN.fullmatch(text)
    if found is None:
        raise KeyMalformed
    mode: KeyMode = "live" if found[2] == "live" else "test"
    return Token(_KIND[found[1]], mode, KeyId(found[3]), found[4])
