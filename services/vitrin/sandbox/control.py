"""``/_sandbox/...``: look inside the platforms and tell them to misbehave.

Errors are ``{"error": {"code", "field", "message"}}`` with status 400, 404 or 409.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from vitrin.kit.metrics import CONTENT_TYPE, exposition
from vitrin.sandbox.accounts import Account, TokenState
from vitrin.sandbox.ads.control import AdsControl
from vitrin.sandbox.commands import (
    ControlRefusal,
    Endpoint,
    PlatformName,
    answer,
    number,
    read_body,
    refusing,
)
from vitrin.sandbox.control_faults import FaultControl
from vitrin.sandbox.control_goods import GoodsControl
from vitrin.sandbox.control_oauth import OAuthControl
from vitrin.sandbox.control_shops import ShopControl
from vitrin.sandbox.keeper import StateKeeper
from vitrin.sandbox.metrics import ITEMS
from vitrin.sandbox.page import render_fragment, render_page
from vitrin.sandbox.summary import item_json, summarise
from vitrin.sandbox.timing import iso
from vitrin.sandbox.wire import Platform
from vitrin.sandbox.world import World

STATE_PAGE_DEFAULT, STATE_PAGE_MAX = 100, 1_000
LOG_PAGE_DEFAULT, LOG_PAGE_MAX = 100, 1_000
SEED_ITEMS_MAX = 1_000

VERSIONS = {"meta": "v26.0", "pinterest": "v5"}


SEED_FIELDS = {
    "title": "Held before",
    "description": "Another system put it here.",
    "availability": "in stock",
    "condition": "new",
    "price": "9.99 USD",
    "link": "https://before.example/",
    "image_link": "https://before.example/image.jpg",
    "brand": "Before",
}
"""What a seeded item has unless it says otherwise."""


class NewAccount(BaseModel):
    """Body of ``POST /_sandbox/accounts``."""

    model_config = ConfigDict(extra="forbid")

    platform: PlatformName
    has_feed: bool = Field(
        default=False, description="Pinterest: the account has a feed, so UPSERT is refused."
    )


class SeedItem(BaseModel):
    """One item, with the fields as the platform's own API writes them."""

    model_config = ConfigDict(extra="forbid")

    item_id: str = Field(min_length=1, max_length=100)
    fields: dict[str, Any] = Field(default_factory=dict)


class Seed(BaseModel):
    """Body of ``POST /_sandbox/state/meta/{catalog_id}``: items that somebody else put there before."""

    model_config = ConfigDict(extra="forbid")

    items: list[SeedItem] = Field(min_length=1, max_length=SEED_ITEMS_MAX)


class TokenCommand(BaseModel):
    """Body of ``POST /_sandbox/tokens``."""

    model_config = ConfigDict(extra="forbid")

    platform: PlatformName
    access_token: str
    state: TokenState


class Control:
    """The commands on one world; ``keeper`` is None when it is kept in memory only."""

    def __init__(self, world: World, *, keeper: StateKeeper | None = None) -> None:
        self.world = world
        self.keeper = keeper

    def routes(self) -> list[Route]:
        """Every path of the sandbox's own."""
        table: list[tuple[str, str, Endpoint]] = [
            ("/_sandbox/accounts", "GET", self.list_accounts),
            ("/_sandbox/accounts", "POST", self.add_account),
            ("/_sandbox/tokens", "POST", self.set_token),
            *FaultControl(self.world).table(),
            *OAuthControl(self.world).table(),
            *ShopControl(self.world).table(),
            *GoodsControl(self.world).table(),
            *AdsControl(self.world).table(),
            ("/_sandbox/log", "GET", self.read_log),
            ("/_sandbox/state", "GET", self.summary),
            ("/_sandbox/state/{platform}/{catalog_id}", "GET", self.read_state),
            ("/_sandbox/state/{platform}/{catalog_id}", "POST", self.seed),
            ("/_sandbox/state/{platform}/{catalog_id}/{item_id:path}", "GET", self.read_item),
            ("/_sandbox/reset", "POST", self.reset),
            ("/_sandbox/page", "GET", self.fragment),
            ("/", "GET", self.page),
            ("/livez", "GET", self.alive),
            ("/readyz", "GET", self.alive),
            ("/metrics", "GET", self.metrics),
        ]
        return [Route(path, refusing(endpoint), methods=[method]) for path, method, endpoint in table]

    async def list_accounts(self, request: Request) -> Response:
        """The first account of each platform; with ``?all=1`` lists of all of them."""
        base = f"{request.url.scheme}://{request.url.netloc}"
        found = {
            name: [self._account(one, base=base) for one in self.world.accounts.by_platform[name]]
            for name in self.world.platforms
        }
        everything = request.query_params.get("all") in ("1", "true")
        return answer(found if everything else {name: accounts[0] for name, accounts in found.items()})

    async def add_account(self, request: Request) -> Response:
        """Create a further account."""
        command = await read_body(request, NewAccount)
        if len(self.world.accounts.by_platform[command.platform]) >= self.world.settings.accounts_max:
            raise ControlRefusal(409, "too_many", f"at most {self.world.settings.accounts_max} accounts")
        account = self.world.open_account(command.platform, has_feed=command.has_feed)
        self.world.keep_histories()
        return answer(self._account(account, base=f"{request.url.scheme}://{request.url.netloc}"), 201)

    async def set_token(self, request: Request) -> Response:
        """Expire, remove, limit (no permission for catalogs) or restore a token."""
        command = await read_body(request, TokenCommand)
        account = self.world.accounts.by_token(command.platform, command.access_token)
        if account is None:
            raise ControlRefusal(404, "unknown_token", "no account has this token", field="access_token")
        self.world.set_token(account, command.state)
        return answer({"platform": command.platform, "state": command.state})

    async def read_log(self, request: Request) -> Response:
        """Requests numbered above ``since``, the oldest first; ``next_since`` goes on from there.

        With ``item_id`` only those whose kept ids have it.
        """
        since = number(request, "since", default=0)
        limit = number(request, "limit", default=LOG_PAGE_DEFAULT, max_value=LOG_PAGE_MAX)
        platform = request.query_params.get("platform")
        item_id = request.query_params.get("item_id")
        entries = self.world.log.read(platform=platform, since=since, limit=limit, item_id=item_id)
        next_since = entries[-1].seq if entries else since
        return answer({"entries": [entry.as_json() for entry in entries], "next_since": next_since})

    async def summary(self, request: Request) -> Response:
        """Per platform and account the counts that the page shows."""
        self.world.settle()
        return answer(summarise(self.world))

    async def read_state(self, request: Request) -> Response:
        """A page of the items that a catalog holds now, in the order of their creation."""
        self.world.settle()
        name, catalog_id = request.path_params["platform"], request.path_params["catalog_id"]
        platform = self._platform(name, catalog_id)
        offset = number(request, "offset", default=0)
        limit = number(request, "limit", default=STATE_PAGE_DEFAULT, max_value=STATE_PAGE_MAX)
        catalog = platform.catalogs[catalog_id]
        body = {
            "platform": name,
            "catalog_id": catalog_id,
            "total": len(catalog),
            "offset": offset,
            "limit": limit,
            "last_change_at": iso(catalog.last_change_ms) if catalog.last_change_ms is not None else None,
            "items": [item_json(platform, item) for item in catalog.slice(offset=offset, limit=limit)],
        }
        return answer(body)

    async def seed(self, request: Request) -> Response:
        """Put items into a catalog as if another system had: no call is logged, no batch made, no rule asked."""
        command = await read_body(request, Seed)
        name, catalog_id = request.path_params["platform"], request.path_params["catalog_id"]
        platform = self._platform(name, catalog_id)
        if name != "meta":
            raise ControlRefusal(404, "unknown_platform", "only Meta's catalogs are seeded", field="platform")
        for item in command.items:
            fields = SEED_FIELDS | item.fields
            platform.catalogs[catalog_id].put(item.item_id, fields, at_ms=self.world.now_ms())
        return answer({"total": len(platform.catalogs[catalog_id])}, 201)

    async def read_item(self, request: Request) -> Response:
        """One item that a catalog holds now."""
        self.world.settle()
        catalog_id = request.path_params["catalog_id"]
        platform = self._platform(request.path_params["platform"], catalog_id)
        key = platform.item_key(request.path_params["item_id"], catalog_id=catalog_id)
        item = platform.catalogs[catalog_id].get(key) if key is not None else None
        if item is None:
            raise ControlRefusal(404, "unknown_item", "the catalog has no such item", field="item_id")
        return answer(item_json(platform, item))

    async def reset(self, request: Request) -> Response:
        """Forget items, batches, faults, quotas and the log; accounts stay and their tokens are valid again.

        The state file, where there is one, has forgotten them too when the answer comes.
        """
        for platform in self.world.platforms.values():
            platform.clear()
        for accounts in self.world.accounts.by_platform.values():
            for account in accounts:
                self.world.set_token(account, TokenState.VALID)
        self.world.faults.clear()
        self.world.keep_histories()
        self.world.log.clear()
        if self.keeper is not None:
            await self.keeper.flush()
        return answer({"reset": True})

    async def page(self, request: Request) -> Response:
        """The page for people."""
        self.world.settle()
        return HTMLResponse(render_page(summarise(self.world)))

    async def fragment(self, request: Request) -> Response:
        """The part of the page that changes."""
        self.world.settle()
        return HTMLResponse(render_fragment(summarise(self.world)))

    async def alive(self, request: Request) -> Response:
        """The sandbox needs nothing, so it is ready as soon as it answers."""
        return answer({"status": "ok"})

    async def metrics(self, request: Request) -> Response:
        """Prometheus text format."""
        self.world.settle()
        for name, platform in self.world.platforms.items():
            ITEMS.labels(name).set(sum(len(catalog) for catalog in platform.catalogs.values()))
        return Response(exposition(), headers={"content-type": CONTENT_TYPE})

    def _account(self, account: Account, *, base: str) -> dict[str, Any]:
        host = self.world.platforms[account.platform].host
        shown = {
            "base_url": f"{base}/{host}/{VERSIONS[account.platform]}",
            "access_token": account.access_token,
            "external_ids": account.external_ids,
        }
        return shown | ({"app_secret": account.app_secret} if account.platform == "meta" else {})

    def _platform(self, name: str, catalog_id: str) -> Platform:
        platform = self.world.platforms.get(name)
        if platform is None:
            raise ControlRefusal(404, "unknown_platform", "no such platform", field="platform")
        if catalog_id not in platform.catalogs:
            raise ControlRefusal(404, "unknown_catalog", "no such catalog", field="catalog_id")
        return platform


VERSIONS = {"meta": "v26.0", "pinterest": "v5"}
