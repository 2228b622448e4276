"""Pinterest's doors: token, path, quota and body are looked at in this order."""

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson

from vitrin.sandbox.accounts import Account, AccountBook, TokenState
from vitrin.sandbox.ads.desk import build_desk
from vitrin.sandbox.changes import Changes
from vitrin.sandbox.fault_kinds import AUDIENCE, EVENTS, OTHER, POLL, READ, SEND
from vitrin.sandbox.grants import GrantBook
from vitrin.sandbox.pinterest import login
from vitrin.sandbox.pinterest.ads import AdsPaths
from vitrin.sandbox.pinterest.batches import KEY_SEPARATOR, BatchDesk, stamp, storage_key
from vitrin.sandbox.pinterest.errors import NAMED, ApiError, invalid_request
from vitrin.sandbox.pinterest.requests import parse_batch, parse_items_request
from vitrin.sandbox.pinterest.rules import ITEM_MISSING, facts
from vitrin.sandbox.quotas import Limits
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.state import CatalogState
from vitrin.sandbox.wire import Call, Reply

BATCH_PATH = re.compile(r"/v5/catalogs/items/batch/([^/]+)")
BATCH_ID = re.compile(r"[a-zA-Z0-9]+")
TAGS_PATH = re.compile(r"/v5/ad_accounts/(\d{1,18})/conversion_tags")
RECORDS_PATH = re.compile(r"/v5/ad_accounts/[^/]+/(customer_lists|audiences|events)(/[^/]+)?")
DEDUPE_MS = 24 * 3_600_000
"""How long a repeat of an event is recognised (unverified)."""
AD_ACCOUNT_ID = re.compile(r"\d{1,18}")
WINDOW_MS, SECOND_MS = 60_000, 1_000
ALL_CALLS = "all"
"""Category of the limit over all calls of an account: 100 a second for a standard app."""
THROTTLED = 8
PAGE_DEFAULT, PAGE_MAX = 25, 250
SCOPES_OF = {
    "org_read": "user_accounts:read",
    "ads_read": "ads:read",
    "ads_write": "ads:write",
    "ads_conversions": "ads:write",
    "catalogs_read": "catalogs:read",
    "catalogs_write": "catalogs:write",
}
"""The scope that each category of calls needs (OpenAPI 5.23, `security`)."""

Endpoint = Callable[[Call, Account], Reply]


class PinterestPlatform:
    """api.pinterest.com."""

    name = "pinterest"
    host = "api.pinterest.com"

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
        self.body_bytes_max = settings.pinterest_body_bytes_max
        self.accounts = accounts
        self.grants = grants
        self.changes = changes
        self.now_ms = now_ms
        self.catalogs: dict[str, CatalogState] = {}
        self.batches = BatchDesk(
            kept_max=settings.batches_kept_max,
            duplicate_window_ms=settings.pinterest_duplicate_window_ms,
            changes=changes,
            started_ms=now_ms(),
        )
        self.ads = build_desk(
            settings,
            changes=changes,
            now_ms=now_ms,
            dedupe_ms=DEDUPE_MS,
            by_order=frozenset({"checkout"}),
            undeduped_sources=frozenset({"offline"}),
        )
        self._ads_paths = AdsPaths(self, _json)
        self.limits = Limits(
            enabled=settings.quota,
            defaults={
                "catalogs_write": (settings.pinterest_catalogs_write_per_minute, WINDOW_MS),
                "catalogs_read": (settings.pinterest_catalogs_read_per_minute, WINDOW_MS),
                "org_read": (settings.pinterest_catalogs_read_per_minute, WINDOW_MS),
                "ads_read": (settings.pinterest_catalogs_read_per_minute, WINDOW_MS),
                "ads_write": (settings.pinterest_catalogs_write_per_minute, WINDOW_MS),
                "ads_conversions": (settings.pinterest_conversions_per_minute, WINDOW_MS),
                ALL_CALLS: (settings.pinterest_calls_per_second, SECOND_MS),
            },
        )
        self._endpoints: dict[str, dict[str, tuple[str, Endpoint]]] = {
            "/v5/user_account": {"GET": ("org_read", self._user_account)},
            "/v5/ad_accounts": {"GET": ("ads_read", self._list_ad_accounts)},
            "/v5/catalogs": {"GET": ("catalogs_read", self._list_catalogs)},
            "/v5/catalogs/items": {"POST": ("catalogs_read", self._read_items)},
            "/v5/catalogs/items/batch": {"POST": ("catalogs_write", self._write_batch)},
        }

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
        """The storage key of an item in whatever country and language, for commands of the sandbox."""
        catalog = self.catalogs[catalog_id]
        suffix = KEY_SEPARATOR + item_id
        for item in catalog.slice(offset=0, limit=len(catalog)):
            if item.key.endswith(suffix):
                return item.key
        return None

    def described(self, key: str) -> dict[str, str]:
        """What identifies a stored item to a reader."""
        country, language, item_id = key.split(KEY_SEPARATOR, 2)
        return {"item_id": item_id, "country": country, "language": language}

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

    def error_names(self) -> Sequence[str]:
        """See ``Platform``."""
        return sorted(NAMED)

    def named_error(self, name: str, call: Call) -> Reply | None:
        """See ``Platform``."""
        error = NAMED.get(name)
        if error is None:
            return None
        if error.code == THROTTLED:
            return self.throttled(call, code=None, regain_s=WINDOW_MS // 1000)
        return error.reply()

    def throttle_codes(self) -> Sequence[int]:
        """See ``Platform``."""
        return [THROTTLED]

    def throttled(self, call: Call, *, code: int | None, regain_s: int) -> Reply:
        """See ``Platform``."""
        words = {SEND: "catalogs_write", AUDIENCE: "ads_write", EVENTS: "ads_conversions"}
        category = words.get(self.endpoint_of(call), "catalogs_read")
        reply = NAMED["throttle"].reply()
        reply.headers |= _limit_headers(
            limit=self.limits.defaults[category][0], remaining=0, reset_s=regain_s
        )
        return reply

    def batch_refused(self, call: Call) -> Reply:
        """See ``Platform``: the words of a body that breaks its schema, without the place."""
        return invalid_request("one or more items are not valid").reply()

    def endpoint_of(self, call: Call) -> str:
        """See ``Platform``."""
        path = call.path.rstrip("/")
        found = RECORDS_PATH.fullmatch(path)
        if found and found[1] == "events":
            return EVENTS if call.method == "POST" else OTHER
        if found and (found[2] or (found[1], call.method) == ("customer_lists", "POST")):
            return AUDIENCE
        if call.method == "POST":
            return {"/v5/catalogs/items/batch": SEND, "/v5/catalogs/items": READ}.get(path, OTHER)
        return POLL if call.method == "GET" and BATCH_PATH.fullmatch(path) else OTHER

    def items_of(self, call: Call) -> Sequence[str]:
        """See ``Platform``."""
        try:
            body = _json(call)
        except ApiError:
            return []
        if not isinstance(body, dict):
            return []
        if isinstance(body.get("records"), str):
            return [one.strip() for one in body["records"].split(",") if one.strip()]
        if isinstance(body.get("data"), list):
            return [str(one.get("event_id", "")) for one in body["data"] if isinstance(one, dict)]
        filters = body.get("filters")
        named = filters.get("item_ids") if isinstance(filters, dict) else body.get("items")
        if not isinstance(named, list):
            return []
        ids = [one.get("item_id") if isinstance(one, dict) else one for one in named]
        return [one for one in ids if isinstance(one, str)]

    def account_of(self, call: Call) -> Account | None:
        """See ``Platform``."""
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        return self.accounts.by_token(self.name, token.strip()) if scheme.lower() == "bearer" else None

    def handle(self, call: Call) -> Reply:
        """See ``Platform``."""
        self.settle(now_ms=call.received_ms)
        account: Account | None = None
        category: str | None = None
        refused: str | None = None
        try:
            if call.path.rstrip("/") == login.TOKEN_PATH and call.method == "POST":
                return login.token(self.accounts, self.grants, call)
            account = self._authorised(call)
            category, endpoint = self._endpoint(call)
            refused = self._refusing_limit(account, category, now_ms=call.received_ms)
            if refused is not None:
                raise NAMED["throttle"]
            limited = account.token_state is TokenState.LIMITED and category != "org_read"
            if limited or not account.may(SCOPES_OF[category]):
                raise NAMED["permission"]
            self._check_ad_account(call, account)
            reply = endpoint(call, account)
        except ApiError as error:
            reply = error.reply()
        if account is not None and category is not None:
            shown = self._headers(account, refused or category, now_ms=call.received_ms)
            reply.headers = shown | reply.headers
        reply.account = account.log_name if account else None
        return reply

    def _authorised(self, call: Call) -> Account:
        account = self.account_of(call)
        if account is None or account.token_state not in (TokenState.VALID, TokenState.LIMITED):
            raise NAMED["auth"]
        return account

    def _endpoint(self, call: Call) -> tuple[str, Endpoint]:
        path = call.path.rstrip("/")
        methods = self._endpoints.get(path)
        if methods is None and (found := BATCH_PATH.fullmatch(path)):
            if not BATCH_ID.fullmatch(found[1]):
                raise ApiError(
                    400, 1, rf"'batch_id' value '{found[1]}' must match the pattern: ^[a-zA-Z0-9]+$"
                )
            methods = {"GET": ("catalogs_read", self._read_batch)}
        if methods is None:
            methods = self._ads_paths.find(call)
        if methods is None and TAGS_PATH.fullmatch(path):
            methods = {"GET": ("ads_read", self._list_tags)}
        if methods is None:
            raise NAMED["not_found"]
        if call.method not in methods:
            raise NAMED["method"]
        return methods[call.method]

    def _check_ad_account(self, call: Call, account: Account) -> None:
        ad_account_id = call.query.get("ad_account_id")
        if ad_account_id is None:
            return
        if not AD_ACCOUNT_ID.fullmatch(ad_account_id):
            raise ApiError(400, 1, rf"'ad_account_id' value '{ad_account_id}' must match the pattern: ^\d+$")
        if ad_account_id != account.external_ids["ad_account_id"]:
            raise NAMED["permission"]

    def _refusing_limit(self, account: Account, category: str, *, now_ms: int) -> str | None:
        """Count the call; the limit for which it is one too many, or None."""
        for name in (ALL_CALLS, category):
            if not self.limits.take(name, owner=account.access_token, names=_names(account), now_ms=now_ms):
                return name
        return None

    def _headers(self, account: Account, category: str, *, now_ms: int) -> dict[str, str]:
        window = self.limits.window(category, owner=account.access_token, names=_names(account))
        remaining = max(0, window.limit - window.used(now_ms=now_ms))
        wait_s = -(-window.wait_ms(now_ms=now_ms) // 1000) or -(-window.window_ms // 1000)
        return _limit_headers(limit=window.limit, remaining=remaining, reset_s=wait_s)

    def _catalog(self, account: Account, catalog_id: str | None) -> CatalogState:
        wanted = catalog_id or account.catalog_ids[0]
        if wanted not in account.catalog_ids:
            raise NAMED["catalog_missing"]
        return self.catalogs[wanted]

    def _user_account(self, call: Call, account: Account) -> Reply:
        body = {
            "id": account.external_ids["user_id"],
            "account_type": "BUSINESS",
            "username": f"sandboxshop{account.number}",
            "business_name": account.name,
            "website_url": "https://shop.example.com",
            "profile_image": "https://shop.example.com/logo.png",
            "about": "",
            "pin_count": len(self.catalogs[account.catalog_ids[0]]),
        }
        return Reply(200, body)

    def _list_ad_accounts(self, call: Call, account: Account) -> Reply:
        return Reply(200, login.ad_accounts(account))

    def _list_tags(self, call: Call, account: Account) -> Reply:
        found = TAGS_PATH.fullmatch(call.path.rstrip("/"))
        if found is None or found[1] != account.external_ids["ad_account_id"]:
            raise NAMED["permission"]
        return Reply(200, login.conversion_tags(account))

    def _list_catalogs(self, call: Call, account: Account) -> Reply:
        size = call.query.get("page_size", str(PAGE_DEFAULT))
        if not size.isdecimal() or not 1 <= int(size) <= PAGE_MAX:
            raise ApiError(400, 1, f"Parameter 'page_size' was not numeric (was {size})")
        items = []
        for catalog_id in account.catalog_ids:
            created = stamp(self.catalogs[catalog_id].created_ms) + "Z"
            changed = self.catalogs[catalog_id].last_change_ms
            items.append(
                {
                    "id": catalog_id,
                    "name": self.catalogs[catalog_id].name,
                    "catalog_type": "RETAIL",
                    "created_at": created,
                    "updated_at": stamp(changed) + "Z" if changed is not None else created,
                }
            )
        return Reply(200, {"items": items, "bookmark": None})

    def _write_batch(self, call: Call, account: Account) -> Reply:
        request = parse_batch(_json(call))
        if account.has_feed and any(one.operation == "UPSERT" for one in request.operations):
            raise NAMED["permission"]
        catalog = self._catalog(account, request.catalog_id)
        digest = _digest(call, account, catalog.catalog_id)
        earlier = self.batches.duplicate_of(digest, now_ms=call.received_ms)
        if earlier is not None:
            body = earlier.as_json(finished=False) | {"created_time": None}
            return Reply(200, body, outcome="duplicate", item_ids=earlier.item_ids, handle=earlier.batch_id)
        batch = self.batches.accept(
            request,
            user_id=account.external_ids["user_id"],
            catalog_id=catalog.catalog_id,
            digest=digest,
            now_ms=call.received_ms,
            latency_ms=self.settings.batch_latency_ms,
            fate=call.effects.fate([one.item_id for one in request.operations], now_ms=call.received_ms),
        )
        operations: dict[str, int] = {}
        for one in request.operations:
            operations[one.operation] = operations.get(one.operation, 0) + 1
        return Reply(
            200,
            batch.as_json(finished=False),
            item_ids=batch.item_ids,
            operations=operations,
            handle=batch.batch_id,
            accepted_count=len(batch.item_ids),
        )

    def _read_batch(self, call: Call, account: Account) -> Reply:
        found = BATCH_PATH.fullmatch(call.path.rstrip("/"))
        batch = self.batches.find(found[1] if found else "", user_id=account.external_ids["user_id"])
        if batch is None:
            raise NAMED["batch_missing"]
        enough = self.settings.polls_before_finished + 1
        self.batches.count_poll(batch, enough=enough)
        finished = self.batches.finished(batch, enough=enough, now_ms=call.received_ms)
        return Reply(200, batch.as_json(finished=finished), handle=batch.batch_id)

    def _read_items(self, call: Call, account: Account) -> Reply:
        request = parse_items_request(_json(call))
        catalog = self._catalog(account, request.catalog_id).as_of(call.received_ms - call.effects.stale_ms)
        code, message = ITEM_MISSING
        items: list[dict[str, Any]] = []
        for item_id in request.item_ids:
            key = storage_key(item_id, country=request.country, language=request.language)
            stored = catalog.get(key)
            shown: dict[str, Any] = {"catalog_type": "RETAIL", "item_id": item_id}
            if stored is None:
                shown["errors"] = [{"attribute": "item_id", "code": code, "message": message}]
            else:
                shown |= {"attributes": stored.fields(), "pins": None}
            items.append(shown)
        return Reply(200, {"items": items}, item_ids=request.item_ids)


def _names(account: Account) -> list[str]:
    return [*account.external_ids.values(), *account.catalog_ids]


def _json(call: Call) -> Any:
    if call.body is None:
        raise NAMED["too_large"]
    try:
        return orjson.loads(call.body)
    except orjson.JSONDecodeError as error:
        raise invalid_request("the body is not valid JSON") from error


def _digest(call: Call, account: Account, catalog_id: str) -> bytes:
    return blake2b((call.body or b"") + f"|{account.number}|{catalog_id}".encode(), digest_size=16).digest()


def _limit_headers(*, limit: int, remaining: int, reset_s: int) -> dict[str, str]:
    """Names as third-party clients report them (unverified); the reset is in seconds."""
    headers: Mapping[str, int] = {
        "x-userendpoint-ratelimit-limit": limit,
        "x-userendpoint-ratelimit-remaining": remaining,
        "x-userendpoint-ratelimit-reset": reset_s,
    }
    return {name: str(value) for name, value in headers.items()}
