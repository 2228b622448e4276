"""Meta's doors: version, token, object and edge are found in this order, each with Meta's own refusal."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitrin.sandbox.accounts import Account, AccountBook, TokenState
from vitrin.sandbox.changes import Changes
from vitrin.sandbox.meta import edges
from vitrin.sandbox.meta.batches import BatchDesk
from vitrin.sandbox.meta.errors import NAMED, GraphError, missing_object, unknown_path
from vitrin.sandbox.meta.params import access_token, read_params
from vitrin.sandbox.meta.quota import Quota
from vitrin.sandbox.meta.rules import facts
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.state import CatalogState
from vitrin.sandbox.wire import Call, Reply

VERSION = re.compile(r"v(\d{1,3})\.0")
VERSION_MIN, VERSION_MAX = 20, 30

THROTTLE_KINDS = {"throttle": "catalog_batch", "throttle_management": "catalog_management"}


@dataclass(frozen=True, slots=True)
class Request:
    """A Graph call whose version and token are good."""

    call: Call
    account: Account
    params: Mapping[str, Any]
    object_id: str


Edge = Callable[["MetaPlatform", Request], Reply]

CATALOG_EDGES: dict[tuple[str, str], Edge] = {
    ("GET", ""): edges.read_catalog,
    ("POST", "items_batch"): edges.items_batch,
    ("GET", "check_batch_request_status"): edges.check_batch_request_status,
    ("GET", "products"): edges.products,
}
BUSINESS_EDGES: dict[tuple[str, str], Edge] = {
    ("GET", ""): edges.read_business,
    ("GET", "owned_product_catalogs"): edges.owned_product_catalogs,
    ("POST", "owned_product_catalogs"): edges.create_catalog,
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
        changes: Changes,
        now_ms: Callable[[], int],
    ) -> None:
        self.settings = settings
        self.body_bytes_max = settings.meta_body_bytes_max
        self.accounts = accounts
        self.changes = changes
        self.now_ms = now_ms
        self.catalogs: dict[str, CatalogState] = {}
        self.batches = BatchDesk(kept_max=settings.batches_kept_max, changes=changes, started_ms=now_ms())
        self.quota = Quota(enabled=settings.quota, traffic=settings.meta_catalog_traffic)

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
        self.quota.clear()

    def error_names(self) -> Sequence[str]:
        """See ``Platform``."""
        return sorted(NAMED)

    def named_error(self, name: str, call: Call) -> Reply | None:
        """See ``Platform``."""
        error = NAMED.get(name)
        if error is None:
            return None
        reply = self._with_usage(error.reply(call), account=None, object_id="")
        if name in THROTTLE_KINDS:
            account = self._account_of(call)
            business_id = account.external_ids["business_id"] if account else "0"
            reply.headers |= self.quota.forced_headers(business_id=business_id, kind=THROTTLE_KINDS[name])
        return reply

    def handle(self, call: Call) -> Reply:
        """See ``Platform``."""
        self.settle(now_ms=call.received_ms)
        account: Account | None = None
        object_id = ""
        try:
            version, _, rest = call.path.lstrip("/").partition("/")
            _check_version(version, call.path)
            params = read_params(call)
            account = self._authorised(call, params)
            object_id, _, edge = rest.strip("/").partition("/")
            reply = self._dispatch(Request(call, account, params, object_id), edge)
        except GraphError as error:
            reply = error.reply(call)
        if account is not None:
            reply.account = account.external_ids["business_id"]
        return self._with_usage(reply, account=account, object_id=object_id)

    def _dispatch(self, request: Request, edge: str) -> Reply:
        account, object_id, method = request.account, request.object_id, request.call.method
        if object_id == "me" and method == "GET" and not edge:
            return edges.me(self, request)
        if object_id == account.external_ids["business_id"]:
            table = BUSINESS_EDGES
        elif object_id in account.catalog_ids:
            table = CATALOG_EDGES
        else:
            raise missing_object(object_id, method=method)
        run = table.get((method, edge))
        if run is None:
            if any(name == edge for _, name in table):
                raise missing_object(object_id, method=method)
            raise unknown_path(edge)
        counted = table is CATALOG_EDGES and run is not edges.items_batch
        if counted and not self.quota.take_management(object_id, now_ms=request.call.received_ms):
            raise NAMED["throttle_management"]
        return run(self, request)

    def _account_of(self, call: Call) -> Account | None:
        try:
            token = access_token(call, read_params(call))
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
        return account

    def _with_usage(self, reply: Reply, *, account: Account | None, object_id: str) -> Reply:
        business_id = account.external_ids["business_id"] if account else None
        catalog_id = object_id if object_id in self.catalogs else None
        usage = self.quota.headers(business_id=business_id, catalog_id=catalog_id, now_ms=self.now_ms())
        reply.headers = usage | reply.headers
        return reply


def _check_version(version: str, path: str) -> None:
    found = VERSION.fullmatch(version)
    if found is None or int(found[1]) > VERSION_MAX:
        raise unknown_path(path.lstrip("/"))
    if int(found[1]) < VERSION_MIN:
        raise GraphError(
            2635,
            "(#2635) You are calling a deprecated version of the Ads API. Please update to the latest version: v26.0.",
        )
