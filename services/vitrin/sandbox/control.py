"""``/_sandbox/...``: look inside the platforms and tell them to misbehave.

Errors are ``{"error": {"code", "field", "message"}}`` with status 400, 404 or 409.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from vitrin.kit.metrics import CONTENT_TYPE, exposition
from vitrin.sandbox.accounts import Account, TokenState
from vitrin.sandbox.faults import FaultSpec
from vitrin.sandbox.keeper import StateKeeper
from vitrin.sandbox.metrics import ITEMS
from vitrin.sandbox.page import render_fragment, render_page
from vitrin.sandbox.state import StoredItem
from vitrin.sandbox.timing import iso
from vitrin.sandbox.wire import Platform
from vitrin.sandbox.world import World

STATE_PAGE_DEFAULT, STATE_PAGE_MAX = 100, 1_000
LOG_PAGE_DEFAULT, LOG_PAGE_MAX = 100, 1_000
BODY_BYTES_MAX = 1_000_000

Model = TypeVar("Model", bound=BaseModel)
Endpoint = Callable[[Request], Awaitable[Response]]
PlatformName = Literal["meta", "pinterest"]


class ControlRefusal(Exception):
    """A command that the sandbox does not take."""

    def __init__(self, status: int, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field


class NewAccount(BaseModel):
    """Body of ``POST /_sandbox/accounts``."""

    model_config = ConfigDict(extra="forbid")

    platform: PlatformName
    has_feed: bool = Field(
        default=False, description="Pinterest: the account has a feed, so UPSERT is refused."
    )


class TokenCommand(BaseModel):
    """Body of ``POST /_sandbox/tokens``."""

    model_config = ConfigDict(extra="forbid")

    platform: PlatformName
    access_token: str
    state: TokenState


class DriftCommand(BaseModel):
    """Body of ``POST /_sandbox/drift``: change stored fields behind everybody's back; null removes one."""

    model_config = ConfigDict(extra="forbid")

    platform: PlatformName
    catalog_id: str
    item_id: str
    fields: dict[str, Any] | None = Field(description="New values; null for the whole removes the item.")


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")


async def _body(request: Request, model: type[Model]) -> Model:
    raw = await request.body()
    if len(raw) > BODY_BYTES_MAX:
        raise ControlRefusal(400, "body_too_large", f"at most {BODY_BYTES_MAX} bytes")
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        raise ControlRefusal(400, "invalid", first["msg"], field=field) from error


def _number(request: Request, name: str, *, default: int, max_value: int | None = None) -> int:
    value = request.query_params.get(name, str(default))
    if not value.isdecimal():
        raise ControlRefusal(400, "invalid", "must be a whole number of 0 or more", field=name)
    return min(int(value), max_value) if max_value is not None else int(value)


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
            ("/_sandbox/faults", "GET", self.list_faults),
            ("/_sandbox/faults", "POST", self.add_fault),
            ("/_sandbox/faults", "DELETE", self.clear_faults),
            ("/_sandbox/faults/{fault_id}", "DELETE", self.clear_faults),
            ("/_sandbox/drift", "POST", self.drift),
            ("/_sandbox/log", "GET", self.read_log),
            ("/_sandbox/state", "GET", self.summary),
            ("/_sandbox/state/{platform}/{catalog_id}", "GET", self.read_state),
            ("/_sandbox/state/{platform}/{catalog_id}/{item_id:path}", "GET", self.read_item),
            ("/_sandbox/reset", "POST", self.reset),
            ("/_sandbox/page", "GET", self.fragment),
            ("/", "GET", self.page),
            ("/livez", "GET", self.alive),
            ("/readyz", "GET", self.alive),
            ("/metrics", "GET", self.metrics),
        ]
        return [Route(path, _refusing(endpoint), methods=[method]) for path, method, endpoint in table]

    async def list_accounts(self, request: Request) -> Response:
        """The first account of each platform; with ``?all=1`` lists of all of them."""
        base = f"{request.url.scheme}://{request.url.netloc}"
        found = {
            name: [self._account(one, base=base) for one in self.world.accounts.by_platform[name]]
            for name in self.world.platforms
        }
        everything = request.query_params.get("all") in ("1", "true")
        return _json(found if everything else {name: accounts[0] for name, accounts in found.items()})

    async def add_account(self, request: Request) -> Response:
        """Create a further account."""
        command = await _body(request, NewAccount)
        if len(self.world.accounts.by_platform[command.platform]) >= self.world.settings.accounts_max:
            raise ControlRefusal(409, "too_many", f"at most {self.world.settings.accounts_max} accounts")
        account = self.world.open_account(command.platform, has_feed=command.has_feed)
        return _json(self._account(account, base=f"{request.url.scheme}://{request.url.netloc}"), 201)

    async def set_token(self, request: Request) -> Response:
        """Expire, remove or restore a token."""
        command = await _body(request, TokenCommand)
        account = self.world.accounts.by_token(command.platform, command.access_token)
        if account is None:
            raise ControlRefusal(404, "unknown_token", "no account has this token", field="access_token")
        self.world.set_token(account, command.state)
        return _json({"platform": command.platform, "state": command.state})

    async def list_faults(self, request: Request) -> Response:
        """All faults, spent ones too."""
        return _json({"faults": [fault.as_json() for fault in self.world.faults.all()]})

    async def add_fault(self, request: Request) -> Response:
        """Activate a fault."""
        spec = await _body(request, FaultSpec)
        if spec.platform is not None and spec.platform not in self.world.platforms:
            raise ControlRefusal(400, "invalid", "no such platform", field="platform")
        if spec.error is not None:
            platforms = (
                [self.world.platforms[spec.platform]] if spec.platform else self.world.platforms.values()
            )
            for platform in platforms:
                if spec.error not in platform.error_names():
                    names = ", ".join(platform.error_names())
                    raise ControlRefusal(400, "invalid", f"{platform.name} knows: {names}", field="error")
        try:
            fault = self.world.faults.add(spec)
        except OverflowError as error:
            raise ControlRefusal(409, "too_many", str(error)) from error
        return _json(fault.as_json(), 201)

    async def clear_faults(self, request: Request) -> Response:
        """Remove one fault, or all."""
        fault_id = request.path_params.get("fault_id")
        removed = self.world.faults.clear(fault_id)
        if fault_id is not None and not removed:
            raise ControlRefusal(404, "unknown_fault", "no fault has this id", field="fault_id")
        return _json({"removed": removed})

    async def drift(self, request: Request) -> Response:
        """Change an item silently."""
        command = await _body(request, DriftCommand)
        self.world.settle()
        platform = self._platform(command.platform, command.catalog_id)
        catalog = platform.catalogs[command.catalog_id]
        key = platform.item_key(command.item_id, catalog_id=command.catalog_id)
        stored = catalog.get(key) if key is not None else None
        if key is None or stored is None:
            raise ControlRefusal(404, "unknown_item", "the catalog has no such item", field="item_id")
        if command.fields is None:
            catalog.remove(key, at_ms=self.world.now_ms())
            return _json({"changed": True})
        merged = stored.fields() | command.fields
        kept = {name: value for name, value in merged.items() if value is not None}
        return _json({"changed": catalog.put(key, kept, at_ms=self.world.now_ms())})

    async def read_log(self, request: Request) -> Response:
        """Requests numbered above ``since``, the oldest first; ``next_since`` goes on from there."""
        since = _number(request, "since", default=0)
        limit = _number(request, "limit", default=LOG_PAGE_DEFAULT, max_value=LOG_PAGE_MAX)
        platform = request.query_params.get("platform")
        entries = self.world.log.read(platform=platform, since=since, limit=limit)
        next_since = entries[-1].seq if entries else since
        return _json({"entries": [entry.as_json() for entry in entries], "next_since": next_since})

    async def summary(self, request: Request) -> Response:
        """Per platform and account the counts that the page shows."""
        self.world.settle()
        return _json(summarise(self.world))

    async def read_state(self, request: Request) -> Response:
        """A page of the items that a catalog holds now, in the order of their creation."""
        self.world.settle()
        name, catalog_id = request.path_params["platform"], request.path_params["catalog_id"]
        platform = self._platform(name, catalog_id)
        offset = _number(request, "offset", default=0)
        limit = _number(request, "limit", default=STATE_PAGE_DEFAULT, max_value=STATE_PAGE_MAX)
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
        return _json(body)

    async def read_item(self, request: Request) -> Response:
        """One item that a catalog holds now."""
        self.world.settle()
        catalog_id = request.path_params["catalog_id"]
        platform = self._platform(request.path_params["platform"], catalog_id)
        key = platform.item_key(request.path_params["item_id"], catalog_id=catalog_id)
        item = platform.catalogs[catalog_id].get(key) if key is not None else None
        if item is None:
            raise ControlRefusal(404, "unknown_item", "the catalog has no such item", field="item_id")
        return _json(item_json(platform, item))

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
        self.world.log.clear()
        if self.keeper is not None:
            await self.keeper.flush()
        return _json({"reset": True})

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
        return _json({"status": "ok"})

    async def metrics(self, request: Request) -> Response:
        """Prometheus text format."""
        self.world.settle()
        for name, platform in self.world.platforms.items():
            ITEMS.labels(name).set(sum(len(catalog) for catalog in platform.catalogs.values()))
        return Response(exposition(), headers={"content-type": CONTENT_TYPE})

    def _account(self, account: Account, *, base: str) -> dict[str, Any]:
        host = self.world.platforms[account.platform].host
        return {
            "base_url": f"{base}/{host}/{VERSIONS[account.platform]}",
            "access_token": account.access_token,
            "external_ids": account.external_ids,
        }

    def _platform(self, name: str, catalog_id: str) -> Platform:
        platform = self.world.platforms.get(name)
        if platform is None:
            raise ControlRefusal(404, "unknown_platform", "no such platform", field="platform")
        if catalog_id not in platform.catalogs:
            raise ControlRefusal(404, "unknown_catalog", "no such catalog", field="catalog_id")
        return platform


VERSIONS = {"meta": "v26.0", "pinterest": "v5"}


def item_json(platform: Platform, item: StoredItem) -> dict[str, Any]:
    """A stored item with the time of each field's last change; ``fields`` has the names of the write call."""
    return {
        **platform.described(item.key),
        "fields": item.fields(),
        "created_at": iso(item.created_ms),
        "updated_at": iso(item.updated_ms),
        "changed_at": {name: iso(at_ms) for name, at_ms in sorted(item.field_times_ms().items())},
    }


def summarise(world: World) -> dict[str, Any]:
    """Body of ``GET /_sandbox/state``."""
    platforms = []
    for name, platform in world.platforms.items():
        accounts = [
            {
                "name": account.name,
                "external_ids": account.external_ids,
                "token_state": account.token_state,
                "catalogs": [_catalog_json(platform, catalog_id) for catalog_id in account.catalog_ids],
            }
            for account in world.accounts.by_platform[name]
        ]
        platforms.append({"platform": name, "host": platform.host, "accounts": accounts})
    return {
        "now": iso(world.now_ms()),
        "platforms": platforms,
        "faults": [fault.as_json() for fault in world.faults.all() if not fault.spent],
        "log": [entry.as_json() for entry in world.log.tail(PAGE_LOG_ROWS)],
    }


PAGE_LOG_ROWS = 15


def _catalog_json(platform: Platform, catalog_id: str) -> dict[str, Any]:
    catalog = platform.catalogs[catalog_id]
    counts = catalog.counts
    return {
        "catalog_id": catalog_id,
        "name": catalog.name,
        "items": len(catalog),
        "with_image": counts["image"],
        "with_title": counts["title"],
        "with_price": counts["price"],
        "on_sale": counts["sale_price"],
        "availability": {
            fact.removeprefix("availability:"): count
            for fact, count in sorted(counts.items())
            if fact.startswith("availability:") and count
        },
        "last_change_at": iso(catalog.last_change_ms) if catalog.last_change_ms is not None else None,
        "recent": [item_json(platform, item) for item in catalog.recent()],
    }


def _refusing(endpoint: Endpoint) -> Endpoint:
    async def run(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ControlRefusal as refusal:
            error = {"code": refusal.code, "field": refusal.field, "message": refusal.message}
            return _json({"error": error}, refusal.status)

    return run
