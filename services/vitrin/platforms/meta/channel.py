"""Meta's `CatalogChannel`: items_batch, check_batch_request_status and the catalog's products edge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from vitrin.kit.http_client import Call, PlatformHttp, Priority, Rate
from vitrin.platforms.base import (
    Capabilities,
    CatalogChannel,
    ChannelItem,
    ChannelMisconfigured,
    Endpoint,
    ListedPage,
    Operation,
    OperationKind,
    PlatformFailure,
    PlatformSpec,
    PollResult,
    Rendered,
    Seen,
    SendResult,
)
from vitrin.platforms.calling import answered, check_batch, lane_of
from vitrin.platforms.meta import read, render
from vitrin.platforms.meta.batches import poll_result, send_result
from vitrin.platforms.meta.errors import classify
from vitrin.platforms.meta.rules import (
    BASE_URL,
    CAPABILITIES,
    LIST_ITEMS_PER_PAGE,
    READ_BACK_FILTER_CHARS_MAX,
    READ_BACK_ITEMS_MAX,
)
from vitrin.platforms.meta.usage import BATCH_USAGE, MANAGEMENT_USAGE
from vitrin.platforms.rendering import stable_item_id

METHODS: Final = {
    OperationKind.UPSERT: "UPDATE",
    OperationKind.OFFER: "UPDATE",
    OperationKind.DELETE: "DELETE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaCatalog:
    http: PlatformHttp
    base_url: str
    access_token: str = field(repr=False)
    catalog_id: str
    currency: str
    capabilities: Capabilities = CAPABILITIES
    brand: str = ""

    def platform_item_id(self, raw: str) -> str:
        return stable_item_id(raw, length_max=self.capabilities.item_id_length_max)

    def render(self, item: ChannelItem) -> Rendered:
        return render.render(item, currency=self.currency)

    def render_offer(self, item: ChannelItem) -> Mapping[str, object]:
        return render.render_offer(item, currency=self.currency)

    def operation(
        self, *, kind: OperationKind, platform_item_id: str, attributes: Mapping[str, object] | None = None
    ) -> Operation:
        fields = {} if kind is OperationKind.DELETE else dict(attributes or {})
        size_bytes = len(orjson.dumps(_request(kind, platform_item_id, fields))) + 1
        return Operation(platform_item_id, kind, fields, size_bytes)

    def ready_in_s(self, endpoint: Endpoint = Endpoint.SEND, *, priority: Priority = Priority.SLOW) -> float:
        return self.http.ready_in_s(
            platform="meta",
            account=self.catalog_id,
            rate=self.capabilities.rates[endpoint],
            brand=self.brand,
            priority=priority,
        )

    async def send(self, operations: Sequence[Operation], *, priority: Priority | None = None) -> SendResult:
        """UPDATE for upserts and offers; allow_upsert only where the batch has an upsert, so that an offer of an
        item that Meta lost is refused instead of making half an item."""
        check_batch(operations, self.capabilities)
        lane = priority or lane_of(operations)
        body = {
            "item_type": "PRODUCT_ITEM",
            "allow_upsert": any(operation.kind is OperationKind.UPSERT for operation in operations),
            "requests": [
                _request(operation.kind, operation.platform_item_id, operation.attributes)
                for operation in operations
            ],
        }
        call = replace(
            self._call(Endpoint.SEND, "POST", "items_batch", safe=False, priority=lane),
            content=orjson.dumps(body),
        )
        answer = await answered(self.http, call, classify=classify, usage=BATCH_USAGE)
        return send_result(answer, [operation.platform_item_id for operation in operations])

    async def poll(self, handle: str, sent: Sequence[str]) -> PollResult:
        call = self._call(
            Endpoint.POLL, "GET", "check_batch_request_status", safe=True, priority=Priority.FAST
        )
        call = replace(call, params={"handle": handle, "load_ids_of_invalid_requests": "true"})
        try:
            answer = await answered(self.http, call, classify=classify, usage=MANAGEMENT_USAGE)
        except PlatformFailure as failure:
            # The handle is the only thing that the call names besides the catalog.
            if failure.code == "invalid_parameter":
                return poll_result({}, sent)
            raise
        return poll_result(answer, sent)

    async def read_back(
        self, expected: Mapping[str, Mapping[str, object]], *, priority: Priority = Priority.SLOW
    ) -> Mapping[str, Seen]:
        found: dict[str, Mapping[str, Any]] = {}
        for ids in _reads(expected):
            chosen = orjson.dumps({"retailer_id": {"is_any": ids}}).decode()
            call = self._call(Endpoint.READ_BACK, "GET", "products", safe=True, priority=priority)
            call = replace(call, params={"filter": chosen, "fields": read.FIELDS, "limit": str(len(ids))})
            answer = await answered(self.http, call, classify=classify, usage=MANAGEMENT_USAGE)
            products = answer.get("data")
            for product in products if isinstance(products, list) else []:
                if isinstance(product, dict):
                    found[str(product.get("retailer_id"))] = product
        return {key: read.seen(key, fields, found.get(key)) for key, fields in expected.items()}

    async def list_items(self, cursor: str | None) -> ListedPage:
        call = self._call(Endpoint.READ_BACK, "GET", "products", safe=True, priority=Priority.SLOW)
        params = {"fields": read.LISTED_FIELDS, "limit": str(LIST_ITEMS_PER_PAGE)}
        call = replace(call, params=params | ({"after": cursor} if cursor else {}))
        return read.listed(await answered(self.http, call, classify=classify, usage=MANAGEMENT_USAGE))

    def _call(self, endpoint: Endpoint, method: str, edge: str, *, safe: bool, priority: Priority) -> Call:
        return Call(
            platform="meta",
            account=self.catalog_id,
            rate=self.capabilities.rates[endpoint],
            method=method,
            url=f"{self.base_url}/{self.catalog_id}/{edge}",
            safe=safe,
            brand=self.brand,
            priority=priority,
            concurrency_max=self.capabilities.concurrency_max,
            headers={"authorization": f"Bearer {self.access_token}", "content-type": "application/json"},
        )


def _request(kind: OperationKind, item_id: str, attributes: Mapping[str, object]) -> dict[str, object]:
    return {"method": METHODS[kind], "data": {"id": item_id, **attributes}}


def _reads(ids: Mapping[str, object]) -> list[list[str]]:
    """Groups of ids that fit in one URL."""
    groups: list[list[str]] = [[]]
    chars = 0
    for item_id in ids:
        # Escaped for a URL, a character outside ASCII takes up to 12 characters.
        size = sum(1 if char.isascii() else 12 for char in item_id) + 8
        if groups[-1] and (
            len(groups[-1]) == READ_BACK_ITEMS_MAX or chars + size > READ_BACK_FILTER_CHARS_MAX
        ):
            groups.append([])
            chars = 0
        groups[-1].append(item_id)
        chars += size
    return [group for group in groups if group]


def open_channel(
    *,
    http: PlatformHttp,
    access_token: str,
    external_ids: Mapping[str, str],
    market: str,
    language: str,
    currency: str,
    base_url: str | None = None,
    rates: Mapping[Endpoint, Rate] | None = None,
    brand: str = "",
) -> CatalogChannel:
    """A Meta catalog has no market or language of its own in items_batch; its currency is that of its prices."""
    catalog_id = external_ids.get("catalog_id", "")
    if not (catalog_id.isascii() and catalog_id.isdigit()):
        raise ChannelMisconfigured(
            "external_id_invalid",
            field="external_ids.catalog_id",
            message="Meta's catalog id is a number of digits.",
            fix="Copy the catalog id from Meta's Commerce Manager, under Settings.",
        )
    capabilities = (
        CAPABILITIES if rates is None else replace(CAPABILITIES, rates={**CAPABILITIES.rates, **rates})
    )
    return MetaCatalog(
        http=http,
        base_url=(base_url or BASE_URL).rstrip("/"),
        access_token=access_token,
        catalog_id=catalog_id,
        currency=currency,
        capabilities=capabilities,
        brand=brand,
    )


SPEC: Final = PlatformSpec(
    name="meta",
    title="Meta",
    capabilities=CAPABILITIES,
    required_external_ids=("catalog_id",),
    optional_external_ids=("business_id", "app_id", "pixel_id", "ad_account_id", "page_id"),
    default_base_url=BASE_URL,
    required_scopes=("catalog_management",),
    open_channel=open_channel,
)
