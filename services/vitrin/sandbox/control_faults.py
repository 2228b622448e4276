"""``/_sandbox/faults``, ``quota`` and ``drift``: tell the platforms to misbehave."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from vitrin.sandbox.commands import ControlRefusal, Endpoint, PlatformName, answer, read_body
from vitrin.sandbox.desk import let_drift
from vitrin.sandbox.effects import PRICE, drift_change, in_share
from vitrin.sandbox.fault_kinds import FaultKind
from vitrin.sandbox.faults import FaultSpec, kinds_json
from vitrin.sandbox.quotas import Limit
from vitrin.sandbox.wire import Door, Platform
from vitrin.sandbox.world import World

ITEM_IDS_SHOWN_MAX = 1_000


class DriftCommand(BaseModel):
    """Body of ``POST /_sandbox/drift``: change stored items behind everybody's back, now.

    Either ``item_id`` with ``fields`` (null removes a field; null for the whole removes the item), or a share of the
    catalog with ``changes``, of which the seed chooses one per item.
    """

    model_config = ConfigDict(extra="forbid")

    platform: PlatformName
    catalog_id: str
    item_id: str | None = None
    fields: dict[str, Any] | None = None
    item_share: float | None = Field(default=None, gt=0, le=1)
    seed: int = 0
    changes: tuple[Literal["price", "availability", "delete"], ...] = Field(default=(PRICE,), min_length=1)

    @model_validator(mode="after")
    def _one_way(self) -> "DriftCommand":
        if (self.item_id is None) == (self.item_share is None):
            raise ValueError("give either item_id with fields, or item_share with seed and changes")
        if self.item_id is not None and "fields" not in self.model_fields_set:
            raise ValueError("item_id needs fields: new values, or null to remove the item")
        return self


class QuotaCommand(BaseModel):
    """Body of ``POST /_sandbox/quota``: at most ``calls`` in ``window_s`` seconds, until ``DELETE`` or a reset.

    ``account`` is an external id or a catalog id; without it the limit holds for each account (Meta: each catalog).
    """

    model_config = ConfigDict(extra="forbid")

    platform: PlatformName
    category: str
    account: str | None = None
    calls: int = Field(ge=1, le=1_000_000)
    window_s: float = Field(default=60, gt=0, le=86_400)


class FaultControl:
    """The commands on one world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def table(self) -> list[tuple[str, str, Endpoint]]:
        """Path, method and endpoint of each."""
        return [
            ("/_sandbox/faults", "GET", self.list_faults),
            ("/_sandbox/faults", "POST", self.add_fault),
            ("/_sandbox/faults", "DELETE", self.clear_faults),
            ("/_sandbox/faults/kinds", "GET", self.kinds),
            ("/_sandbox/faults/{fault_id}", "DELETE", self.clear_faults),
            ("/_sandbox/quota", "GET", self.list_limits),
            ("/_sandbox/quota", "POST", self.set_limit),
            ("/_sandbox/quota", "DELETE", self.restore_limits),
            ("/_sandbox/drift", "POST", self.drift),
        ]

    async def kinds(self, request: Request) -> Response:
        """Every kind with what it does, its fields and an example."""
        platforms = self.world.doors()
        errors = {name: platform.error_names() for name, platform in platforms.items()}
        codes = {name: platform.throttle_codes() for name, platform in platforms.items()}
        return answer(kinds_json(errors, codes))

    async def list_faults(self, request: Request) -> Response:
        """All faults, spent ones too."""
        now_ms = self.world.now_ms()
        return answer({"faults": [fault.as_json(now_ms=now_ms) for fault in self.world.faults.all()]})

    async def add_fault(self, request: Request) -> Response:
        """Activate a fault."""
        spec = await read_body(request, FaultSpec)
        doors = self.world.doors()
        if spec.platform is not None and spec.platform not in doors:
            known = ", ".join(doors)
            raise ControlRefusal(400, "invalid", f"no such platform; there are {known}", field="platform")
        chosen = [doors[spec.platform]] if spec.platform else list(self.world.platforms.values())
        for platform in chosen:
            _check_words(spec, platform)
        self._check_account(spec)
        now_ms = self.world.now_ms()
        try:
            fault = self.world.faults.add(spec, now_ms=now_ms)
        except OverflowError as error:
            raise ControlRefusal(409, "too_many", str(error)) from error
        self.world.keep_histories()
        return answer(fault.as_json(now_ms=now_ms), 201)

    async def clear_faults(self, request: Request) -> Response:
        """Remove one fault, or all."""
        fault_id = request.path_params.get("fault_id")
        removed = self.world.faults.clear(fault_id)
        self.world.keep_histories()
        if fault_id is not None and not removed:
            raise ControlRefusal(
                404,
                "unknown_fault",
                "no fault has this id; GET /_sandbox/faults lists them",
                field="fault_id",
            )
        return answer({"removed": removed})

    async def list_limits(self, request: Request) -> Response:
        """The categories of each platform with its own limit, and what was set instead."""
        shown = {
            name: {
                "enabled": platform.limits.enabled,
                "categories": {
                    category: {"calls": calls, "window_s": window_ms / 1000}
                    for category, (calls, window_ms) in platform.limits.defaults.items()
                },
                "set": [limit.as_json() for limit in platform.limits.all()],
            }
            for name, platform in self.world.platforms.items()
        }
        return answer(shown)

    async def set_limit(self, request: Request) -> Response:
        """Set a limit; it counts even where SANDBOX_QUOTA is off."""
        command = await read_body(request, QuotaCommand)
        limits = self.world.platforms[command.platform].limits
        if command.category not in limits.defaults:
            known = ", ".join(limits.defaults)
            message = f"{command.platform} has the categories {known}"
            raise ControlRefusal(400, "invalid", message, field="category")
        if command.account is not None:
            self._known(command.platform, command.account)
        window_ms = max(1, round(command.window_s * 1000))
        limit = Limit(command.category, command.account, command.calls, window_ms)
        limits.set(limit)
        return answer({"platform": command.platform, **limit.as_json()}, 201)

    async def restore_limits(self, request: Request) -> Response:
        """Back to the platforms' own limits."""
        return answer({"removed": sum(one.limits.restore() for one in self.world.platforms.values())})

    async def drift(self, request: Request) -> Response:
        """Change items silently, now."""
        command = await read_body(request, DriftCommand)
        self.world.settle()
        platform = self.world.platforms[command.platform]
        catalog = platform.catalogs.get(command.catalog_id)
        if catalog is None:
            raise ControlRefusal(404, "unknown_catalog", "no such catalog", field="catalog_id")
        now_ms = self.world.now_ms()
        if command.item_id is None:
            return answer(_drift_share(platform, command, now_ms=now_ms))
        key = platform.item_key(command.item_id, catalog_id=command.catalog_id)
        stored = catalog.get(key) if key is not None else None
        if key is None or stored is None:
            raise ControlRefusal(404, "unknown_item", "the catalog has no such item", field="item_id")
        if command.fields is None:
            catalog.remove(key, at_ms=now_ms)
            return answer({"changed": True})
        merged = stored.fields() | command.fields
        kept = {name: value for name, value in merged.items() if value is not None}
        return answer({"changed": catalog.put(key, kept, at_ms=now_ms)})

    def _check_account(self, spec: FaultSpec) -> None:
        if spec.account is not None:
            self._known(spec.platform, spec.account)

    def _known(self, platform: str | None, name: str) -> None:
        """Raise unless an account has this name: a mistyped id would silently never match."""
        book = self.world.accounts.by_platform
        accounts = [one for each in ([platform] if platform else book) for one in book.get(each, ())]
        shops = {host for kind, host in self.world.street.book.shops if platform in (None, kind)}
        if name not in shops and not any(name in account.names for account in accounts):
            message = (
                "no account has this id and no shop this host;"
                " GET /_sandbox/accounts?all=1 and GET /_sandbox/shops list them"
            )
            raise ControlRefusal(404, "unknown_account", message, field="account")


def _check_words(spec: FaultSpec, platform: Door) -> None:
    if spec.error is not None and spec.error not in platform.error_names():
        names = ", ".join(platform.error_names())
        raise ControlRefusal(400, "invalid", f"{platform.name} knows: {names}", field="error")
    throttles = spec.kind is FaultKind.THROTTLE and spec.code is not None
    if throttles and spec.code not in platform.throttle_codes():
        codes = ", ".join(map(str, platform.throttle_codes()))
        raise ControlRefusal(400, "invalid", f"{platform.name} throttles with: {codes}", field="code")


def _drift_share(platform: Platform, command: DriftCommand, *, now_ms: int) -> dict[str, Any]:
    catalog = platform.catalogs[command.catalog_id]
    share = command.item_share or 0.0
    changed = []
    for item in catalog.snapshot():
        item_id = platform.described(item.key)["item_id"]
        if in_share(item_id, share=share, seed=command.seed):
            change = drift_change(item_id, command.changes, seed=command.seed)
            if let_drift(catalog, item.key, change, at_ms=now_ms):
                changed.append(item_id)
    return {"changed": len(changed), "item_ids": changed[:ITEM_IDS_SHOWN_MAX]}
