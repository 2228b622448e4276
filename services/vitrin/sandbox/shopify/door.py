"""Shopify's Admin API of every shop: tokens, GraphQL, the token endpoint. Each error in Shopify's own shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import compare_digest
from typing import Any

import orjson
from graphql import GraphQLError, GraphQLFormattedError, MiddlewareManager, execute_sync, parse, validate

from vitrin.sandbox.accounts import Account
from vitrin.sandbox.shopify.bulk import Bulk
from vitrin.sandbox.shopify.cost import SINGLE_MAX, Bucket, actual, requested
from vitrin.sandbox.shopify.schema import Root, guard, schema
from vitrin.sandbox.shopify.webhooks import Webhooks
from vitrin.sandbox.shops.book import ShopBook
from vitrin.sandbox.shops.model import Access, BulkOperation, Shop
from vitrin.sandbox.wire import Call, Reply

GRAPHQL = re.compile(r"/(?P<shop>[^/]+)/admin/api/(?P<version>[^/]+)/graphql\.json")
TOKEN = re.compile(r"/(?P<shop>[^/]+)/admin/oauth/access_token")
SCOPES = re.compile(r"/(?P<shop>[^/]+)/admin/oauth/access_scopes\.json")
ACCESS_S, REFRESH_S = 3_600, 90 * 24 * 3_600
"""Of offline tokens that end (`expiring=1`): an hour, and ninety days for the refresh token."""
VERSION = re.compile(r"20\d\d-(01|04|07|10)|unstable")
THROTTLED = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
NAMES = ("auth", "throttle", "unavailable", "unknown", "internal", "frozen", "locked")


@dataclass(frozen=True, slots=True)
class Caller:
    """GraphQL's context."""

    access: Access


@dataclass(slots=True)
class ShopifyDoor:
    """Answers for all Shopify shops of the book."""

    book: ShopBook
    now_ms: Callable[[], int]
    start_bulk: Callable[[Shop, BulkOperation], None]
    points_max: float
    points_per_second: float
    body_bytes_max: int = 10 * 1024 * 1024
    name: str = "shopify"
    host: str = "shopify"
    _buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)

    def handle(self, call: Call) -> Reply:
        """One request."""
        if (found := TOKEN.fullmatch(call.path)) is not None and call.method == "POST":
            return self._token(found["shop"], call)
        scopes = SCOPES.fullmatch(call.path)
        found = scopes or GRAPHQL.fullmatch(call.path)
        if found is None or call.method != ("GET" if scopes is not None else "POST"):
            return _errors(404, "Not Found")
        if scopes is None and VERSION.fullmatch(found["version"]) is None:
            return _errors(404, "Not Found")
        shop = self.book.find("shopify", found["shop"])
        if shop is None:
            return _errors(404, "Not Found")
        if shop.plan == "frozen":
            return _errors(402, "Unavailable Shop")
        if shop.plan == "locked":
            return _errors(423, "Locked")
        access = shop.accesses.get(call.headers.get("x-shopify-access-token", ""))
        ended = access is not None and access.ends_ms is not None and access.ends_ms <= call.received_ms
        if access is None or access.removed or ended:
            return _errors(
                401, "[API] Invalid API key or access token (unrecognized login or wrong password)"
            )
        if scopes is not None:
            return Reply(200, {"access_scopes": [{"handle": one} for one in access.scopes]})
        return self._graphql(shop, access, call, version=found["version"])

    def _graphql(self, shop: Shop, access: Access, call: Call, *, version: str) -> Reply:
        try:
            sent = orjson.loads(call.body or b"")
            text, variables = sent["query"], sent.get("variables") or {}
            name = sent.get("operationName")
            if not isinstance(text, str) or not isinstance(variables, dict):
                raise TypeError
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return _errors(400, {"query": "Required parameter missing or invalid"})
        try:
            document = parse(text)
        except GraphQLError as error:
            return Reply(200, {"errors": [_shown(error.formatted)]}, outcome="refused")
        problems = validate(schema(), document)
        if problems:
            return Reply(200, {"errors": [_shown(one.formatted) for one in problems]}, outcome="refused")
        bucket = self._bucket(shop, access)
        wanted = requested(document, variables, name)
        if wanted > SINGLE_MAX:
            message = f"Query cost is {wanted}, which exceeds the single query max cost limit ({SINGLE_MAX})."
            problem = {"message": message, "extensions": {"code": "MAX_COST_EXCEEDED", "cost": wanted}}
            return Reply(200, {"errors": [problem]}, outcome="refused")
        if bucket.points < wanted:
            return self._too_much(bucket, wanted)
        root = self.root(shop, access, version=version, base_url=_base(call), whole=False)
        result = execute_sync(
            schema(),
            document,
            root_value=root.value(),
            context_value=Caller(access),
            variable_values=variables,
            operation_name=name,
            middleware=MiddlewareManager(guard),
        )
        points = min(wanted, actual(result.data))
        bucket.points -= points
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body["errors"] = [_shown(one.formatted) for one in result.errors]
        body["extensions"] = {"cost": _cost(bucket, wanted, points)}
        return Reply(200, body, outcome="refused" if result.errors else "ok")

    def root(self, shop: Shop, access: Access, *, version: str, base_url: str, whole: bool) -> Root:
        """The root value of one request, also that of a bulk operation."""
        bulk = Bulk(
            shop,
            access,
            schema=schema,
            api_version=version,
            base_url=base_url,
            now_ms=self.now_ms(),
            start=lambda operation: self._started(shop, operation),
        )
        hooks = Webhooks(shop, access, self.book.changes, api_version=version, now_ms=self.now_ms())
        return Root(shop, access, bulk=bulk, webhooks=hooks, whole=whole)

    def _started(self, shop: Shop, operation: BulkOperation) -> None:
        self.book.changes.note()
        self.start_bulk(shop, operation)

    def _token(self, host: str, call: Call) -> Reply:
        """`POST /admin/oauth/access_token`: a code for a token that does not end."""
        sent: Any = call.form
        if sent is None:
            try:
                sent = orjson.loads(call.body or b"")
            except orjson.JSONDecodeError:
                sent = {}
        fields: Mapping[str, Any] = sent if isinstance(sent, dict) else {}
        app_id, secret = str(fields.get("client_id", "")), str(fields.get("client_secret", ""))
        shop, right = self.book.find("shopify", host), self.book.grants.app_secret("shopify", app_id)
        if shop is None:
            return _errors(404, "Not Found")
        if right is None or not compare_digest(right.encode(), secret.encode()):
            return _oauth_error("invalid_client", "Could not find Shopify API application")
        if fields.get("grant_type") == "refresh_token":
            return self._refreshed(shop, app_id, str(fields.get("refresh_token", "")), call)
        code = self.book.grants.take_code(
            str(fields.get("code", "")),
            platform=f"shopify/{shop.host}",
            app_id=app_id,
            redirect_uri="",
            verifier=None,
            now_ms=call.received_ms,
        )
        if code is None:
            message = "The authorization code was not found or was already used"
            return _oauth_error("invalid_request", message)
        lives_ms = self._lives_ms() if str(fields.get("expiring", "")) == "1" else None
        access = self.book.give_access(shop, app_id, code.scopes, lives_ms=lives_ms)
        return _given(shop, access, lives_ms)

    def _refreshed(self, shop: Shop, app_id: str, refresh: str, call: Call) -> Reply:
        for known in shop.accesses.values():
            if refresh and (known.app_id, known.refresh, known.removed) == (app_id, refresh, False):
                if call.received_ms >= known.refresh_ends_ms:
                    break
                lives_ms = self._lives_ms()
                access = self.book.give_access(shop, app_id, known.scopes, lives_ms=lives_ms)
                return _given(shop, access, lives_ms)
        return _oauth_error("invalid_grant", "The refresh token is invalid, expired or was used already")

    def _lives_ms(self) -> tuple[int, int]:
        """As `/_sandbox/oauth/lifetimes` says, else Shopify's own."""
        lifetimes = self.book.grants.lifetimes["shopify"]
        return (lifetimes.access_s or ACCESS_S) * 1000, (lifetimes.refresh_s or REFRESH_S) * 1000

    def _bucket(self, shop: Shop, access: Access) -> Bucket:
        now_ms = self.now_ms()
        bucket = self._buckets.get((shop.host, access.app_id))
        if bucket is None:
            bucket = Bucket(self.points_max, self.points_per_second, self.points_max, now_ms)
            self._buckets[shop.host, access.app_id] = bucket
        bucket.fill(now_ms=now_ms)
        return bucket

    def _too_much(self, bucket: Bucket, wanted: int) -> Reply:
        body = {"errors": [THROTTLED], "extensions": {"cost": _cost(bucket, wanted, None)}}
        return Reply(200, body, outcome="throttled")

    def drain(self, host: str, points: float) -> None:
        """Leave so many points to every app of the shop."""
        for (shop, _app), bucket in self._buckets.items():
            if shop == host:
                bucket.points = points

    def named_error(self, name: str, call: Call) -> Reply | None:
        """See `Platform`."""
        match name:
            case "auth":
                return _errors(
                    401, "[API] Invalid API key or access token (unrecognized login or wrong password)"
                )
            case "throttle":
                return self.throttled(call, code=None, regain_s=60)
            case "unavailable":
                return _errors(503, "Service Unavailable")
            case "frozen":
                return _errors(402, "Unavailable Shop")
            case "locked":
                return _errors(423, "Locked")
            case "unknown" | "internal":
                problem = {
                    "message": "Internal error. Looks like something went wrong on our end.",
                    "extensions": {"code": "INTERNAL_SERVER_ERROR", "requestId": "sandbox"},
                }
                return Reply(200, {"errors": [problem]}, outcome="error")
        return None

    def error_names(self) -> Sequence[str]:
        """See `Platform`."""
        return NAMES

    def throttle_codes(self) -> Sequence[int]:
        """GraphQL's refusal has no number."""
        return ()

    def throttled(self, call: Call, *, code: int | None, regain_s: int) -> Reply:
        """As if the bucket were empty; `regain_s` cannot be said but by what is available."""
        empty = Bucket(self.points_max, self.points_per_second, 0, call.received_ms)
        return self._too_much(empty, 100)

    def batch_refused(self, call: Call) -> Reply:
        """There are no batches: an internal error."""
        return self.named_error("internal", call) or _errors(500, "Internal Server Error")

    def endpoint_of(self, call: Call) -> str:
        """`read` for GraphQL, else `other`."""
        return "read" if GRAPHQL.fullmatch(call.path) else "other"

    def items_of(self, call: Call) -> Sequence[str]:
        """Queries name no items of ours."""
        return ()

    def account_of(self, call: Call) -> Account | None:
        """The shop, as the log and faults name it."""
        host = call.path.strip("/").partition("/")[0]
        shop = self.book.find("shopify", host)
        return Account("shopify", shop.number, "", {"shop": shop.host}, []) if shop is not None else None


def _given(shop: Shop, access: Access, lives_ms: tuple[int, int] | None) -> Reply:
    body: dict[str, Any] = {"access_token": access.token, "scope": ",".join(access.scopes)}
    if lives_ms is not None:
        body |= {
            "expires_in": lives_ms[0] // 1000,
            "refresh_token": access.refresh,
            "refresh_token_expires_in": lives_ms[1] // 1000,
        }
    return Reply(200, body, account=shop.host)


def _base(call: Call) -> str:
    return call.base_url.removesuffix("/shopify")


def _cost(bucket: Bucket, wanted: int, points: int | None) -> dict[str, Any]:
    return {"requestedQueryCost": wanted, "actualQueryCost": points, "throttleStatus": bucket.status()}


def _shown(error: GraphQLFormattedError) -> dict[str, Any]:
    return dict(error)


def _errors(status: int, errors: Any) -> Reply:
    return Reply(status, {"errors": errors}, outcome="refused")


def _oauth_error(name: str, description: str) -> Reply:
    return Reply(400, {"error": name, "error_description": description}, outcome="refused")
