"""Meta's doors: version, token, object and edge are found in this order, each with Meta's own refusal."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from hmac import new as hmac
from typing import Any

from vitrin.sandbox.accounts import Account, AccountBook, TokenState
from vitrin.sandbox.ads.desk import build_desk
from vitrin.sandbox.changes import Changes
from vitrin.sandbox.fault_kinds import AUDIENCE, EVENTS, OTHER, POLL, READ, SEND
from vitrin.sandbox.grants import GrantBook
from vitrin.sandbox.meta import assets, audiences, edges, events, login, product_sets, quota
from vitrin.sandbox.meta.batches import BatchDesk
from vitrin.sandbox.meta.errors import NAMED, THROTTLES, GraphError, missing_object, unknown_path
from vitrin.sandbox.meta.filters import wanted_ids
from vitrin.sandbox.meta.params import access_token, json_value, read_params
from vitrin.sandbox.meta.reading import node_id
from vitrin.sandbox.meta.rules import facts
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.state import CatalogState, PastCatalog
from vitrin.sandbox.wire import Call, Reply

VERSION = re.compile(r"v(\d{1,3})\.0")
VERSION_MIN, VERSION_MAX = 20, 30

ITEM_NODE = re.compile(r"\d{16}")
AUDIENCE_NODE = re.compile(r"8\d{14}")
DEDUPE_MS = 48 * 3_600_000
ENDPOINTS = {
    "users": AUDIENCE,
    "usersreplace": AUDIENCE,
    "events": EVENTS,
    "items_batch": SEND,
    "check_batch_request_status": POLL,
    "products": READ,
}
REGAIN_S = 60


@dataclass(frozen=True, slots=True)
class Request:
    """A Graph call whose version and token are good; ``catalog_id`` is the catalog that the object is part of."""

    call: Call
    account: Account
    params: Mapping[str, Any]
    object_id: str
    catalog_id: str = ""


Edge = Callable[["MetaPlatform", Request], Reply]

CATALOG_EDGES: dict[tuple[str, str], Edge] = {
    ("GET", ""): edges.read_catalog,
    ("POST", "items_batch"): edges.items_batch,
    ("GET", "check_batch_request_status"): edges.check_batch_request_status,
    ("GET", "products"): edges.products,
    ("GET", "product_sets"): product_sets.list_sets,
    ("POST", "product_sets"): product_sets.create_set,
}
SET_EDGES: dict[tuple[str, str], Edge] = {
    ("GET", ""): product_sets.read_set,
    ("POST", ""): product_sets.update_set,
    ("DELETE", ""): product_sets.delete_set,
    ("GET", "products"): product_sets.set_products,
}
AD_ACCOUNT_EDGES: dict[tuple[str, str], Edge] = {
    ("GET", "customaudiences"): audiences.list_audiences,
    ("POST", "customaudiences"): audiences.create,
}
AUDIENCE_EDGES: dict[tuple[str, str], Edge] = {
    ("GET", ""): audiences.read_audience,
    ("POST", ""): audiences.update,
    ("DELETE", ""): audiences.delete,
    ("POST", "users"): audiences.add_users,
    ("DELETE", "users"): audiences.remove_users,
    ("POST", "usersreplace"): audiences.replace_users,
}
PIXEL_EDGES: dict[tuple[str, str], Edge] = {
    ("GET", ""): events.read_pixel,
    ("POST", "events"): events.create,
    ("GET", "stats"): events.stats,
}
ADS_TABLES = (AD_ACCOUNT_EDGES, AUDIENCE_EDGES, PIXEL_EDGES)
ITEM_EDGES: dict[tuple[str, str], Edge] = {("GET", ""): product_sets.read_item}
BUSINESS_EDGES: dict[tuple[str, str], Edge] = {
    ("GET", ""): edges.read_business,
    ("GET", "owned_product_catalogs"): edges.owned_product_catalogs,
    ("POST", "owned_product_catalogs"): edges.create_catalog,
    ("GET", "client_product_catalogs"): assets.client_product_catalogs,
    ("GET", "owned_pixels"): assets.owned_pixels,
}
ME_EDGES: dict[tuple[str, str], Edge] = {
    ("GET", ""): edges.me,
    ("GET", "permissions"): assets.permissions,
    ("GET", "businesses"): assets.businesses,
    ("GET", "adaccounts"): assets.ad_accounts,
    ("GET", "accounts"): assets.pages,
}


class MetaPlatform:
    """graph.facebook.com."""

    name = "meta"
    host = "graph.facebook.com"

    def __init__(
        self,
        *,
        settings: SandboxSettings,
        accounts: AccountBook,
        grants: GrantBook,
        changes: Changes,
        now_ms: Callable[[], int],
    ) -> None:
        self.settings = settings
        self.body_bytes_max = settings.meta_body_bytes_max
        self.accounts = accounts
        self.grants = grants
        self.changes = changes
        self.now_ms = now_ms
        self.catalogs: dict[str, CatalogState] = {}
        self.batches = BatchDesk(kept_max=settings.batches_kept_max, changes=changes, started_ms=now_ms())
        self.ads = build_desk(settings, changes=changes, now_ms=now_ms, dedupe_ms=DEDUPE_MS)
        self.limits = quota.limits(enabled=settings.quota, traffic=settings.meta_catalog_traffic)
        self._set_number = 0
        self._nodes: dict[str, tuple[str, str]] = {}
        self._indexed: dict[str, int] = {}

    def open_account(self, account: Account) -> None:
        """Give a new account its catalog."""
        for catalog_id in account.catalog_ids:
            self.add_catalog(catalog_id, name=f"{account.name} catalog")

    def add_catalog(self, catalog_id: str, *, name: str) -> CatalogState:
        """An empty catalog."""
        catalog = CatalogState(
            platform=self.name,
            catalog_id=catalog_id,
            name=name,
            created_ms=self.now_ms(),
            facts=facts,
            changes=self.changes,
        )
        self.catalogs[catalog_id] = catalog
        return catalog

    def item_key(self, item_id: str, *, catalog_id: str) -> str | None:
        """The storage key of an item, for commands of the sandbox."""
        return item_id if self.catalogs[catalog_id].get(item_id) is not None else None

    def described(self, key: str) -> dict[str, str]:
        """What identifies a stored item to a reader."""
        return {"item_id": key}

    def settle(self, *, now_ms: int) -> None:
        """See ``Platform``."""
        self.batches.settle(self.catalogs, now_ms=now_ms)

    def clear(self) -> None:
        """Forget items, batches and counted calls."""
        for catalog in self.catalogs.values():
            catalog.clear()
        self.batches.clear()
        self.ads.clear()
        self.limits.clear()
        self._nodes.clear()
        self._indexed.clear()

    def error_names(self) -> Sequence[str]:
        """See ``Platform``."""
        return sorted(NAMED)

    def named_error(self, name: str, call: Call) -> Reply | None:
        """See ``Platform``."""
        error = NAMED.get(name)
        if error is None:
            return None
        return self._refused(error, call, regain_s=REGAIN_S)

    def throttle_codes(self) -> Sequence[int]:
        """See ``Platform``."""
        return sorted(THROTTLES)

    def throttled(self, call: Call, *, code: int | None, regain_s: int) -> Reply:
        """See ``Platform``: items_batch has a limit of its own, every other call that of catalog management."""
        if code is None:
            code = {SEND: 80014, AUDIENCE: 80003, EVENTS: 4}.get(self.endpoint_of(call), 80009)
        return self._refused(THROTTLES[code], call, regain_s=regain_s)

    def batch_refused(self, call: Call) -> Reply:
        """See ``Platform``: a batch of which nothing was accepted has no handle."""
        account = self.account_of(call)
        if self.endpoint_of(call) in (AUDIENCE, EVENTS):
            return self._refused(NAMED["invalid"], call, regain_s=REGAIN_S)
        reply = Reply(200, {"handles": []}, outcome="refused")
        return self._with_usage(reply, account=account, catalog_id=call.path.strip("/").split("/")[-2])

    def _refused(self, error: GraphError, call: Call, *, regain_s: int) -> Reply:
        reply = self._with_usage(error.reply(call), account=None, catalog_id="")
        if error.code in THROTTLES:
            account = self.account_of(call)
            business_id = account.external_ids["business_id"] if account else "0"
            reply.headers |= quota.throttled_headers(error.code, business_id=business_id, regain_s=regain_s)
        return reply

    def endpoint_of(self, call: Call) -> str:
        """See ``Platform``."""
        parts = call.path.strip("/").split("/")
        found = ENDPOINTS.get(parts[-1], OTHER) if len(parts) > 2 else OTHER
        if len(parts) == 2 and call.method == "GET" and ITEM_NODE.fullmatch(parts[1]):
            found = READ
        if len(parts) == 2 and AUDIENCE_NODE.fullmatch(parts[1]):
            found = AUDIENCE
        if found == AUDIENCE:
            return AUDIENCE
        if found == EVENTS:
            return EVENTS if call.method == "POST" else OTHER
        return found if (found == SEND) == (call.method == "POST") else OTHER

    def items_of(self, call: Call) -> Sequence[str]:
        """See ``Platform``."""
        try:
            params = read_params(call)
            if self.endpoint_of(call) == AUDIENCE:
                return [
                    audiences.row_id(one) for one in audiences.parse_payload(json_value(params, "payload"))
                ]
            if self.endpoint_of(call) == EVENTS:
                told = events.parse_events(json_value(params, "data"))
                return [str(one.get("event_id", "")) for one in told]
            requests = json_value(params, "requests")
            rule = json_value(params, "filter")
        except GraphError:
            return []
        if not isinstance(requests, list):
            return wanted_ids(rule) or []
        data = [one.get("data") for one in requests if isinstance(one, dict)]
        return [str(one["id"]) for one in data if isinstance(one, dict) and "id" in one]

    def seen(self, request: Request) -> CatalogState | PastCatalog:
        """The request's catalog as a read shows it: as it is, or as it was."""
        catalog = self.catalogs[request.catalog_id]
        stale_ms = request.call.effects.stale_ms
        return catalog.as_of(request.call.received_ms - stale_ms) if stale_ms else catalog

    def take(self, category: str, request: Request, *, owner: str = "") -> bool:
        """Count a call on the request's catalog, or on another owner of a limit; False when it is one too many."""
        owner = owner or request.catalog_id
        names = (owner, request.account.external_ids["business_id"])
        return self.limits.take(category, owner=owner, names=names, now_ms=request.call.received_ms)

    def next_set_id(self, catalog_id: str, *, now_ms: int) -> str:
        """The id of a new product set."""
        self._set_number += 1
        return product_sets.set_id(catalog_id, now_ms=now_ms, number=self._set_number)

    def retailer_id(self, item_node_id: str, *, catalog_id: str) -> str | None:
        """The item behind a number; the index grows with what was created since it was last asked."""
        catalog = self.catalogs[catalog_id]
        seen = self._indexed.get(catalog_id, 0)
        for item in catalog.after(seen, limit=len(catalog)):
            self._nodes[node_id(catalog_id, item.key)] = (catalog_id, item.key)
        self._indexed[catalog_id] = catalog.next_seq - 1
        found = self._nodes.get(item_node_id)
        return found[1] if found is not None and found[0] == catalog_id else None

    def handle(self, call: Call) -> Reply:
        """See ``Platform``."""
        self.settle(now_ms=call.received_ms)
        account: Account | None = None
        catalog_id = ""
        try:
            version, _, rest = call.path.lstrip("/").partition("/")
            _check_version(version, call.path)
            params = read_params(call)
            if rest.strip("/") in login.DOORS:
                reply = login.DOORS[rest.strip("/")](self, call, params)
                return self._with_usage(reply, account=None, catalog_id="")
            account = self._authorised(call, params)
            object_id, _, edge = rest.strip("/").partition("/")
            table, catalog_id = self._resolve(account, object_id)
            reply = self._dispatch(Request(call, account, params, object_id, catalog_id), table, edge)
        except GraphError as error:
            reply = error.reply(call)
        if account is not None:
            reply.account = account.external_ids["business_id"]
        about_audience = self.endpoint_of(call) == AUDIENCE or call.path.endswith("/customaudiences")
        return self._with_usage(reply, account=account, catalog_id=catalog_id, about_audience=about_audience)

    def _resolve(self, account: Account, object_id: str) -> tuple[dict[tuple[str, str], Edge] | None, str]:
        """The edges of the object and the catalog that it is part of; None for what is not there."""
        if object_id == "me":
            return ME_EDGES, ""
        if object_id == account.external_ids["business_id"]:
            return BUSINESS_EDGES, ""
        if object_id == f"act_{account.external_ids['ad_account_id']}":
            return AD_ACCOUNT_EDGES, ""
        if object_id == account.external_ids["pixel_id"]:
            return PIXEL_EDGES, ""
        if self.ads.audiences.find(object_id, account=account.external_ids["ad_account_id"]) is not None:
            return AUDIENCE_EDGES, ""
        if object_id in account.catalog_ids:
            return CATALOG_EDGES, object_id
        for catalog_id in account.catalog_ids:
            if object_id in self.catalogs[catalog_id].groups:
                return SET_EDGES, catalog_id
        if ITEM_NODE.fullmatch(object_id):
            for catalog_id in account.catalog_ids:
                if self.retailer_id(object_id, catalog_id=catalog_id) is not None:
                    return ITEM_EDGES, catalog_id
        return None, ""

    def _dispatch(self, request: Request, table: dict[tuple[str, str], Edge] | None, edge: str) -> Reply:
        object_id, method = request.object_id, request.call.method
        if table is None:
            raise missing_object(object_id, method=method)
        if request.account.token_state is TokenState.LIMITED and object_id != "me":
            raise NAMED["permission_app" if method == "GET" else "permission"]
        run = table.get((method, edge))
        if run is None:
            if any(name == edge for _, name in table):
                raise missing_object(object_id, method=method)
            raise unknown_path(edge)
        needed = assets.needed_scopes(
            request.object_id, edge, in_catalog=bool(request.catalog_id), for_ads=table in ADS_TABLES
        )
        if needed and not request.account.may(*needed):
            raise NAMED["permission"]
        counted = request.catalog_id and run is not edges.items_batch
        if counted and not self.take(quota.MANAGEMENT, request):
            raise NAMED["throttle_management"]
        return run(self, request)

    def account_of(self, call: Call) -> Account | None:
        """See ``Platform``."""
        token = access_token(call, call.query)
        try:
            token = token or access_token(call, read_params(call))
        except GraphError:
            return None
        return self.accounts.by_token(self.name, token) if token else None

    def _authorised(self, call: Call, params: Mapping[str, Any]) -> Account:
        token = access_token(call, params)
        if token is None:
            raise NAMED["auth_missing"]
        account = self.accounts.by_token(self.name, token)
        if account is None:
            raise NAMED["auth_invalid"]
        if account.token_state is TokenState.EXPIRED:
            raise NAMED["auth"]
        if account.token_state is TokenState.REMOVED:
            raise NAMED["auth_removed"]
        _check_proof(account, token, params)
        return account

    def _with_usage(
        self, reply: Reply, *, account: Account | None, catalog_id: str, about_audience: bool = False
    ) -> Reply:
        ids = account.external_ids if account else {}
        usage = quota.usage_headers(
            self.limits,
            business_id=ids.get("business_id"),
            catalog_id=catalog_id,
            now_ms=self.now_ms(),
            ad_account_id=ids.get("ad_account_id", "") if about_audience else "",
        )
        reply.headers = usage | reply.headers
        return reply


def _check_proof(account: Account, token: str, params: Mapping[str, Any]) -> None:
    """An ``appsecret_proof`` that is given must be right; with ``appsecret_time`` it signs ``token|time``."""
    proof = params.get("appsecret_proof")
    if proof is None:
        return
    signed = f"{token}|{params['appsecret_time']}" if "appsecret_time" in params else token
    wanted = hmac(account.app_secret.encode(), signed.encode(), sha256).hexdigest()
    if not isinstance(proof, str) or not compare_digest(proof.encode(), wanted.encode()):
        raise NAMED["appsecret"]


def _check_version(version: str, path: str) -> None:
    found = VERSION.fullmatch(version)
    if found is None or int(found[1]) > VERSION_MAX:
        raise unknown_path(path.lstrip("/"))
    if int(found[1]) < VERSION_MIN:
        raise GraphError(
            2635,
            "(#2635) You are calling a deprecated version of the Ads API. Please update to the latest version: v26.0.",
        )
