"""Request and response models of accounts."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, SecretStr

from vitrin.accounts.domain import (
    OVERLAP_S_DEFAULT,
    OVERLAP_S_MAX,
    ConnectionMode,
    KeyKind,
    KeyMode,
    Role,
    effective_state,
)
from vitrin.kit.access.outgoing import scope_of
from vitrin.kit.access.tokens import Token

NAME_LENGTH_MAX = 200
TOKEN_LENGTH_MAX = 8_192
EXTERNAL_IDS_MAX = 20
SCOPES_MAX = 50
REASON_LENGTH_MAX = 500
T = TypeVar("T")


def _without_null(text: str) -> str:
    if "\x00" in text:
        raise ValueError("The text must not contain the character U+0000.")
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("The time is outside the years 1 to 9999.") from None


def _fits_a_header(token: SecretStr) -> SecretStr:
    if not all("!" <= char <= "~" for char in token.get_secret_value()):
        raise ValueError(
            "An access token has visible ASCII characters and no spaces; copy it without what surrounds it."
        )
    return token


Text = Annotated[str, AfterValidator(_without_null)]
Name = Annotated[Text, Field(min_length=1, max_length=NAME_LENGTH_MAX)]
Code = Annotated[Text, Field(max_length=64)]
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Scopes = Annotated[list[Code], Field(max_length=SCOPES_MAX)]
AccessToken = Annotated[
    SecretStr, Field(min_length=1, max_length=TOKEN_LENGTH_MAX), AfterValidator(_fits_a_header)
]


WebhookSecret = Annotated[SecretStr, Field(min_length=8, max_length=256), AfterValidator(_fits_a_header)]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)


class Page(BaseModel, Generic[T]):
    data: list[T]
    next_cursor: str | None


class BrandCreate(Request):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "North & Pine",
                    "slug": "north-and-pine",
                    "storefront_url": "https://shop.example.com",
                    "default_currency": "EUR",
                    "default_market": "DE",
                    "language": "en",
                    "time_zone": "Europe/Berlin",
                }
            ]
        }
    )
    name: Name
    slug: Code
    storefront_url: Text
    default_currency: Code = Field(description="ISO 4217")
    default_market: Code = Field(description="ISO 3166-1 alpha-2")
    language: Code = Field("en", description="BCP 47")
    time_zone: Code = Field("UTC", description="IANA")
    organisation_id: UUID | None = Field(
        None, description="One that has a brand already; left out: a new organisation of the brand's name."
    )


class BrandPatch(Request):
    """What is left out stays. The slug never changes."""

    name: Name | None = None
    storefront_url: Text | None = None
    default_currency: Code | None = None
    default_market: Code | None = None
    language: Code | None = None
    time_zone: Code | None = None
    approval_needs_other_person: bool | None = Field(
        None, description="Whoever caused what waits for an approval may not approve it."
    )


class Brand(BaseModel):
    id: UUID
    version: int
    name: str
    slug: str
    storefront_url: str
    default_currency: str
    default_market: str
    language: str
    time_zone: str
    has_live_connection: bool
    organisation_id: UUID
    approval_needs_other_person: bool
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Any) -> "Brand":
        return cls(id=row.brand_id, **{name: getattr(row, name) for name in cls.model_fields if name != "id"})


class KeyCreate(Request):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "Shop import", "kind": "secret", "mode": "live", "role": "editor"}]
        }
    )
    name: Name
    kind: KeyKind = "secret"
    mode: KeyMode = "test"
    role: Role = "editor"
    scopes: Scopes | None = Field(None, description="A subset of the role's; all of them by default.")
    expires_at: Moment | None = None


class KeyRotation(Request):
    model_config = ConfigDict(json_schema_extra={"example": {"overlap_s": 86_400}})
    overlap_s: int = Field(
        OVERLAP_S_DEFAULT,
        ge=0,
        le=OVERLAP_S_MAX,
        description="How long the old key still works, in seconds; 0: it stops at once.",
    )
    expires_at: Moment | None = Field(
        None, description="Of the new key; by default it lives as long as the old one was made for."
    )


class Key(BaseModel):
    id: str
    name: str
    kind: KeyKind
    mode: KeyMode
    role: str
    scopes: list[str]
    hint: str = Field(description="Beginning and last four characters of the key.")
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(
        description="To the minute, told up to two minutes late; null: not since it was made."
    )
    rotated_from: str | None = Field(description="Id of the key that it replaced.")
    rotated_to: str | None = Field(description="Id of the key that replaced it.")
    member_id: UUID | None = Field(description="Whose own key it is; null for the key of a program.")

    @classmethod
    def fields_of(cls, row: Any) -> dict[str, Any]:
        prefix = "pk" if row.kind == "publishable" else "vk"
        return {
            "id": row.key_id,
            "name": row.name,
            "kind": row.kind,
            "mode": row.mode,
            "role": row.role,
            "scopes": sorted(row.scopes),
            "hint": f"{prefix}_{row.mode}_{row.key_id}_…{row.secret_end}",
            "created_at": row.created_at,
            "created_by": row.created_by,
            "expires_at": row.expires_at,
            "revoked_at": row.revoked_at,
            "last_used_at": getattr(row, "last_used_at", None),
            "rotated_from": row.rotated_from,
            "rotated_to": row.rotated_to,
            "member_id": row.member_id,
        }

    @classmethod
    def of(cls, row: Any) -> "Key":
        return cls(**cls.fields_of(row))


class NewKey(Key):
    """Shown once: the only time that `key` is readable."""

    key: str

    @classmethod
    def shown(cls, row: Any, token: Token) -> "NewKey":
        return cls(key=token.text(), **cls.fields_of(row))


class NewBrand(BaseModel):
    """The brand with its first owner keys, one live and one test; the keys are shown this once."""

    brand: Brand
    keys: list[NewKey]


class ConnectionCreate(Request):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "platform": "meta",
                    "mode": "sandbox",
                    "external_ids": {"catalog_id": "1234567890"},
                    "access_token": "EAAB...",
                    "id_template": "{id}",
                }
            ]
        }
    )
    platform: Code
    mode: ConnectionMode
    base_url: Text | None = Field(None, description="Sandbox only; the local sandbox by default.")
    external_ids: dict[str, Text] = Field(max_length=EXTERNAL_IDS_MAX)
    access_token: AccessToken
    webhook_secret: WebhookSecret | None = Field(
        None,
        description="What the shop signs its webhooks with, where its token was pasted: at Shopify the API secret key"
        " of the custom app. WooCommerce gets one from Vitrin.",
    )
    expires_at: Moment | None = None
    scopes: Scopes | None = None
    market: Code | None = None
    language: Code | None = None
    currency: Code | None = None
    id_template: Code = "{id}"


class ConnectionPatch(Request):
    """A new token makes the connection active again. Null for `expires_at`: the token does not expire. A new
    `webhook_secret` leaves the one before valid for a day."""

    access_token: AccessToken | None = None
    webhook_secret: WebhookSecret | None = None
    expires_at: Moment | None = None
    scopes: Scopes | None = None


class Connection(BaseModel):
    id: UUID
    version: int
    platform: str
    mode: ConnectionMode
    base_url: str
    external_ids: dict[str, str]
    scopes: list[str]
    market: str
    language: str
    currency: str
    id_template: str
    state: Literal["active", "token_expired", "refused", "deleted", "choose_assets", "uninstalled"]
    last_error: str
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Any, now: datetime) -> "Connection":
        fields = {name: getattr(row, name) for name in cls.model_fields if name != "id"}
        fields["state"] = effective_state(row.state, row.expires_at, now)
        return cls(id=row.connection_id, **fields)


class Turn(Request):
    model_config = ConfigDict(json_schema_extra={"example": {"reason": "wrong prices after an import"}})
    reason: Annotated[Text, Field(max_length=REASON_LENGTH_MAX)] = Field(
        "", description="Shown to whoever asks why."
    )


class OutgoingTurn(Turn):
    model_config = ConfigDict(
        json_schema_extra={"example": {"platform": "meta", "reason": "wrong prices after an import"}}
    )
    platform: Code = Field("", description="One platform of the brand; left out: all of them.")


class OutgoingSwitch(BaseModel):
    """One switch. `platform` "" stands for all."""

    scope: Literal["house", "brand", "platform"]
    platform: str
    stopped: bool
    reason: str
    changed_at: datetime
    changed_by: str

    @classmethod
    def of(cls, row: Any) -> "OutgoingSwitch":
        return cls(
            scope=scope_of(row.brand_id, row.platform),
            platform=row.platform,
            stopped=row.stopped,
            reason=row.reason,
            changed_at=row.changed_at,
            changed_by=row.changed_by,
        )


class Outgoing(BaseModel):
    stopped: bool = Field(
        description="Everything of the brand stands still: by its own switch or the house's."
    )
    switches: list[OutgoingSwitch] = Field(description="Those that were ever turned, the widest first.")

    @classmethod
    def of(cls, rows: list[Any]) -> "Outgoing":
        return cls(
            stopped=any(row.stopped and not row.platform for row in rows),
            switches=[OutgoingSwitch.of(row) for row in rows],
        )
