"""An invitation as text: `vi_<id>_<secret>`. The secret has 256 random bits, so its plain SHA-256 is stored."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from vitrin.accounts.errors import InvitationInvalid
from vitrin.kit.ids import new_uuid

SECRET_BYTES: Final = 32
_TOKEN: Final = re.compile(r"vi_([0-9a-f]{32})_([A-Za-z0-9\-]{32,64})")


@dataclass(frozen=True, slots=True)
class InvitationToken:
    invitation_id: UUID
    secret: str = field(repr=False)

    def text(self) -> str:
        return f"vi_{self.invitation_id.hex}_{self.secret}"

    def secret_hash(self) -> bytes:
        return hashlib.sha256(self.secret.encode()).digest()

    def matches(self, secret_hash: bytes) -> bool:
        """In constant time."""
        return hmac.compare_digest(self.secret_hash(), secret_hash)


def new_invitation_token() -> InvitationToken:
    secret = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=")
    return InvitationToken(new_uuid(), secret.replace("_", "-"))


def parse_invitation_token(text: str) -> InvitationToken:
    """Raises InvitationInvalid, without repeating the text."""
    found = _TOKEN.fullmatch(text)
    if found is None:
        raise InvitationInvalid
    return InvitationToken(UUID(found[1]), found[2])
