"""Request and response models of connecting by consent."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from vitrin.accounts.domain import ConnectionMode
from vitrin.accounts.domain_oauth import forecast
from vitrin.accounts.schemas import EXTERNAL_IDS_MAX, AccessToken, Code, Connection, Request, Text
from vitrin.accounts.service_choice import Reachable
from vitrin.accounts.service_consents import Started
from vitrin.platforms.oauth import OAuthFlow, missing
from vitrin.platforms.registry import OAUTH

APP_ID_LENGTH_MAX = 64


class ScopeNeed(BaseModel):
    """A permission and what it is for."""

    scope: str
    purpose: str
    required: bool = Field(description="A connection does not work without it.")

    @classmethod
    def all_of(cls, flow: OAuthFlow) -> "list[ScopeNeed]":
        return [cls(scope=one.name, purpose=one.purpose, required=one.required) for one in flow.scopes]


class TokenForecast(BaseModel):
    """How the connection's token goes on."""

    origin: Literal["consent", "given"]
    renewal: Literal["automatic", "by_consent", "by_hand", "not_needed"] = Field(
        description="automatic: Vitrin renews it at `renews_at`. by_consent: somebody connects again before it ends. "
        "by_hand: it was pasted; PATCH a new one. not_needed: it has no end."
    )
    renews_at: datetime | None
    last_error: str = Field(description="Of the last renewal, where it failed.")


class ConnectionWithToken(Connection):
    token: TokenForecast
    missing_scopes: list[ScopeNeed] = Field(description="Asked for and not granted, with what they are for.")

    @classmethod
    def shown(cls, row: Any, token: Any | None, now: datetime) -> "ConnectionWithToken":
        ahead = forecast(
            expires_at=row.expires_at,
            by_consent=token is not None,
            renews=token is not None and token.renewal == "automatic",
            renews_at=None if token is None else token.refresh_at,
        )
        lacking = [] if token is None else missing(OAUTH[row.platform], row.scopes)
        return cls(
            **Connection.of(row, now).model_dump(),
            token=TokenForecast(
                origin="given" if token is None else "consent",
                renewal=ahead.renewal,
                renews_at=ahead.renews_at,
                last_error="" if token is None else token.last_error,
            ),
            missing_scopes=[
                ScopeNeed(scope=one.name, purpose=one.purpose, required=one.required) for one in lacking
            ],
        )


class AuthorizeRequest(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"platform": "meta", "mode": "sandbox"}]})
    platform: Code
    mode: ConnectionMode
    external_ids: dict[str, Text] = Field(
        default_factory=dict,
        max_length=EXTERNAL_IDS_MAX,
        description="Of a shop, which one: {'shop': 'acme.myshopify.com'}. Platforms have one dialog for all.",
    )
    connection_id: UUID | None = Field(
        None,
        description="Connect this connection again: same catalog, new token. It becomes active by itself.",
    )


class AuthorizeAnswer(BaseModel):
    attempt_id: UUID = Field(description="GET /v1/oauth/attempts/{id} tells what became of it.")
    authorize_url: str = Field(
        description="Where the browser of the person who consents goes: an address of accounts, which sends it on to"
        " the platform. The consent is taken from that browser only, and once."
    )
    expires_at: datetime
    redirect_uri: str = Field(description="Must be registered with the app at the platform.")
    app_id: str
    pkce: bool
    scopes: list[ScopeNeed]

    @classmethod
    def of(cls, started: Started) -> "AuthorizeAnswer":
        return cls(
            attempt_id=started.attempt.attempt_id,
            authorize_url=started.authorize_url,
            expires_at=started.attempt.expires_at,
            redirect_uri=started.attempt.redirect_uri,
            app_id=started.attempt.app_id,
            pkce=started.flow.pkce,
            scopes=ScopeNeed.all_of(started.flow),
        )


class AttemptProblem(BaseModel):
    code: str
    detail: str
    fix: str


class Attempt(BaseModel):
    id: UUID
    platform: str
    mode: ConnectionMode
    state: Literal["waiting", "connected", "refused", "expired"]
    connection_id: UUID | None
    problem: AttemptProblem | None
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, row: Any, now: datetime) -> "Attempt":
        late = row.outcome == "waiting" and row.expires_at <= now
        return cls(
            id=row.attempt_id,
            platform=row.platform,
            mode=row.mode,
            state="expired" if late else row.outcome,
            connection_id=row.connection_id,
            problem=row.problem,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )


class AssetShown(BaseModel):
    kind: str = Field(description="Name of the external id that choosing it sets.")
    id: str
    name: str
    implies: dict[str, str] = Field(description="External ids that follow from choosing it.")


class AssetList(BaseModel):
    connection_id: UUID
    platform: str
    state: str
    required: list[str] = Field(description="Kinds of which one has to be chosen.")
    optional: list[str]
    assets: list[AssetShown]

    @classmethod
    def of(cls, found: Reachable) -> "AssetList":
        return cls(
            connection_id=found.connection.connection_id,
            platform=found.connection.platform,
            state=found.connection.state,
            required=list(found.spec.required_external_ids),
            optional=list(found.spec.optional_external_ids),
            assets=[
                AssetShown(kind=one.kind, id=one.id, name=one.name, implies=dict(one.implies))
                for one in found.assets
            ],
        )


class ChooseRequest(Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"external_ids": {"catalog_id": "1234567890"}}]}
    )
    external_ids: dict[str, Text] = Field(
        default_factory=dict,
        max_length=EXTERNAL_IDS_MAX,
        description="Kind to id. What follows from a choice, and what there is only one of, is filled in.",
    )
    market: Code | None = None
    language: Code | None = None
    currency: Code | None = None
    id_template: Code = "{id}"


class AppPut(Request):
    """A brand's own app at a platform. The secret is sealed and never shown again."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"platform": "meta", "mode": "sandbox", "app_id": "1234567890", "app_secret": "0a1b2c..."}
            ]
        }
    )
    platform: Code
    mode: ConnectionMode
    app_id: Annotated[Text, Field(min_length=1, max_length=APP_ID_LENGTH_MAX)]
    app_secret: AccessToken


class OwnApp(BaseModel):
    platform: str
    mode: ConnectionMode
    app_id: str
    changed_at: datetime
    changed_by: str

    @classmethod
    def of(cls, row: Any) -> "OwnApp":
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class OwnApps(BaseModel):
    data: list[OwnApp]


def secret_of(body: AppPut) -> str:
    secret: SecretStr = body.app_secret
    return secret.get_secret_value()
