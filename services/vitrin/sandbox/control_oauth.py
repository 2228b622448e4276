"""``/_sandbox/oauth``: what was consented to, a brand's own app, and how long tokens live."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from vitrin.sandbox.commands import Endpoint, answer, read_body
from vitrin.sandbox.grants import HOUSE_APPS
from vitrin.sandbox.timing import iso
from vitrin.sandbox.world import World

LIFETIME_S_MAX = 366 * 24 * 3600


class NewApp(BaseModel):
    """Body of ``POST /_sandbox/oauth/apps``."""

    model_config = ConfigDict(extra="forbid")

    platform: Literal["meta", "pinterest", "shopify"]
    app_id: str = Field(min_length=1, max_length=64, pattern=r"^[0-9a-f]+$")
    secret: str = Field(min_length=1, max_length=200)


class NewLifetimes(BaseModel):
    """Body of ``POST /_sandbox/oauth/lifetimes``; what is null is the platform's own time again."""

    model_config = ConfigDict(extra="forbid")

    platform: Literal["meta", "pinterest", "shopify"]
    access_s: int | None = Field(default=None, ge=1, le=LIFETIME_S_MAX)
    refresh_s: int | None = Field(default=None, ge=1, le=LIFETIME_S_MAX)
    extends: bool = True


class OAuthControl:
    """The commands on one world."""

    def __init__(self, world: World) -> None:
        self._grants = world.grants

    def table(self) -> list[tuple[str, str, Endpoint]]:
        """Path, method, endpoint."""
        return [
            ("/_sandbox/oauth", "GET", self.read),
            ("/_sandbox/oauth/apps", "POST", self.add_app),
            ("/_sandbox/oauth/lifetimes", "POST", self.set_lifetimes),
        ]

    async def read(self, request: Request) -> Response:
        """Tokens that were given, the newest last, with their text: nothing here is worth hiding."""
        tokens = [
            {
                "platform": one.platform,
                "app_id": one.app_id,
                "account": one.account.name,
                "access_token": one.account.access_token,
                "state": one.account.token_state,
                "scopes": list(one.scopes),
                "issued_at": iso(one.issued_ms),
                "expires_at": iso(one.ends_ms),
            }
            for one in self._grants.tokens.values()
        ]
        apps = [{"platform": name, "app_id": app_id} for name, app_id in self._grants.apps]
        house = {name: {"app_id": app[0], "secret": app[1]} for name, app in HOUSE_APPS.items()}
        refreshes = [
            {"platform": one.platform, "refresh_token": text} for text, one in self._grants.refreshes.items()
        ]
        return answer({"tokens": tokens, "refresh_tokens": refreshes, "apps": apps, "house_apps": house})

    async def add_app(self, request: Request) -> Response:
        """Register a brand's own app, or change its secret."""
        command = await read_body(request, NewApp)
        self._grants.register(command.platform, command.app_id, command.secret)
        return answer({"platform": command.platform, "app_id": command.app_id}, 201)

    async def set_lifetimes(self, request: Request) -> Response:
        """Of tokens that are given from now on."""
        command = await read_body(request, NewLifetimes)
        lifetimes = self._grants.lifetimes[command.platform]
        lifetimes.access_s, lifetimes.refresh_s = command.access_s, command.refresh_s
        lifetimes.extends = command.extends
        return answer(command.model_dump())
