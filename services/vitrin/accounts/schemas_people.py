"""Request and response models of organisations, members and invitations."""

import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from vitrin.accounts.domain import OWNER_SCOPE, Role
from vitrin.accounts.schemas import Name, NewKey, Request, Text
from vitrin.kit.access import Principal

EMAIL_LENGTH_MAX = 254
TOKEN_LENGTH_MAX = 200
_EMAIL = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+\.[^\s@<>\"]+")


def _looks_like_an_address(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise ValueError("This is no e-mail address, such as 'ada@shop.example'.")
    return text


Email = Annotated[Text, Field(max_length=EMAIL_LENGTH_MAX), AfterValidator(_looks_like_an_address)]


def manages_people(caller: Principal) -> bool:
    return OWNER_SCOPE in caller.scopes


class BrandOfOrganisation(BaseModel):
    id: UUID
    name: str
    slug: str


class Organisation(BaseModel):
    id: UUID
    name: str
    created_at: datetime
    brands: list[BrandOfOrganisation] = Field(
        description="With a person's own key those that the person is a member of, else the key's own."
    )

    @classmethod
    def of(cls, row: Any, brands: list[Any]) -> "Organisation":
        shown = [BrandOfOrganisation(id=one.brand_id, name=one.name, slug=one.slug) for one in brands]
        return cls(id=row.organisation_id, name=row.name, created_at=row.created_at, brands=shown)


class Member(BaseModel):
    id: UUID = Field(description="The same person has the same id in every brand of the organisation.")
    version: int
    name: str = Field(description="Empty once the person has left.")
    email: str = Field(description="Empty once the person has left, and without accounts:write.")
    role: Role
    joined_at: datetime
    removed_at: datetime | None

    @classmethod
    def of(cls, row: Any, caller: Principal | None = None) -> "Member":
        """The e-mail address for whoever manages people, and for the person; with no `caller`, for the person."""
        fields = {name: getattr(row, name) for name in cls.model_fields if name != "id"}
        if caller is not None and not (caller.member_id == str(row.member_id) or manages_people(caller)):
            fields["email"] = ""
        return cls(id=row.member_id, **fields)


class MemberPatch(Request):
    model_config = ConfigDict(json_schema_extra={"example": {"role": "viewer"}})
    role: Role


class KeyMade(BaseModel):
    id: str
    name: str
    role: str


class StillThere(BaseModel):
    code: str
    detail: str
    fix: str


class Departure(BaseModel):
    """What a removal did in one brand."""

    brand_id: UUID
    keys_revoked: int = Field(description="Of the person's own keys.")
    keys_made: list[KeyMade] = Field(
        description="Keys of programs that the person made, has seen, and that still work: rotate them."
    )
    refused: StillThere | None = Field(
        default=None, description="Why the person is still a member of this brand; null where it was left."
    )


class Removal(BaseModel):
    data: list[Departure]


class InvitationCreate(Request):
    model_config = ConfigDict(json_schema_extra={"example": {"email": "ada@shop.example", "role": "editor"}})
    email: Email
    role: Role = "viewer"


class Invitation(BaseModel):
    id: UUID
    email: str = Field(description="Empty once the invitation has ended, and without accounts:write.")
    role: Role
    outcome: str = Field(description="open, accepted, revoked; an open one past `expires_at` is void.")
    created_at: datetime
    created_by: str
    expires_at: datetime

    @classmethod
    def fields_of(cls, row: Any) -> dict[str, Any]:
        names = ("email", "role", "outcome", "created_at", "created_by", "expires_at")
        return {"id": row.invitation_id} | {name: getattr(row, name) for name in names}

    @classmethod
    def of(cls, row: Any, caller: Principal) -> "Invitation":
        hidden = {} if manages_people(caller) else {"email": ""}
        return cls(**cls.fields_of(row) | hidden)


class NewInvitation(Invitation):
    """Shown once: the only time that `token` is readable. Hand it to the person yourself."""

    token: str


class Acceptance(Request):
    model_config = ConfigDict(
        json_schema_extra={"example": {"token": "vi_0123456789abcdef0123456789abcdef_...", "name": "Ada"}}
    )
    token: Annotated[Text, Field(max_length=TOKEN_LENGTH_MAX)]
    name: Name


class Welcome(BaseModel):
    """The member and the person's own key, which is shown this once."""

    member: Member
    key: NewKey
