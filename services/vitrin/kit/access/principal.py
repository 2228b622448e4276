"""The caller of a request, once the key was checked."""

from dataclasses import dataclass
from typing import Literal

from vitrin.kit.ids import BrandId, KeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    brand_id: BrandId
    key_id: KeyId
    kind: Literal["secret", "publishable"]
    mode: Literal["live", "test"]
    role: str
    scopes: frozenset[str]
    brand_has_live_connection: bool = False
    brand_approval_needs_other_person: bool = False
    member_id: str = ""
    """Of the person whose own key it is; empty for the key of a program."""

    @property
    def actor(self) -> str:
        """How the audit log names it: a person whatever key it has, else the key."""
        return f"member:{self.member_id}" if self.member_id else f"key:{self.key_id}"
