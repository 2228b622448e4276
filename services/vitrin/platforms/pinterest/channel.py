"""Pinterest's `CatalogChannel`: /catalogs/items/batch, its polling, and POST /catalogs/items."""

import re
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
    FailureKind,
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
from vitrin.platforms.calling import answered, check_batch, in_chunks, lane_of
from vitrin.platforms.pinterest import read, render
from vitrin.platforms.pinterest.batches import lost, poll_result, send_result
from vitrin.platforms.pinterest.errors import classify, usage
from vitrin.platforms.pinterest.rules import BASE_URL, CAPABILITIES, READ_BACK_ITEMS_MAX, locale_of
from vitrin.platforms.rendering import stable_item_id

CATALOG_TYPE: Final = "RETAIL"
BATCH_GONE: Final = "batch_lost"
_BATCH_PATH: Final = "/catalogs/items/batch"
_COUNTRY = re.compile(r"[A-Z]{2}")
_AD_ACCOUNT = re.compile(r"[0-9]{1,18}")
_CATALOG = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PinterestCatalog:
    http: PlatformHttp
    base_url: str
    access_token: str = field(repr=False)
    ad_account_id: str
    catalog_id: str
    country: str
    locale: str
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
        size_bytes = len(orjson.dumps(_record(kind, platform_item_id, fields))) + 1
        return Operation(platform_item_id, kind, fields, size_bytes)

    def ready_in_s(self, endpoint: Endpoint = Endpoint.SEND, *, priority: Priority = Priority.SLOW) -> float:
        return self.http.ready_in_s(
            platform="pinterest",
            account=self.ad_account_id,
            rate=self.capabilities.rates[endpoint],
            brand=self.brand,
            priority=priority,
        )

    def batch_body(self, operations: Sequence[Operation]) -> dict[str, object]:
        """The body of POST /catalogs/items/batch, a CatalogsRetailBatchRequest. Pure."""
        return {
            "catalog_type": CATALOG_TYPE,
            "country": self.country,
            "language": self.locale,
            "catalog_id": self.catalog_id,
            "items": [
                _record(operation.kind, operation.platform_item_id, operation.attributes)
                for operation in operations
            ],
        }

    async def send(self, operations: Sequence[Operation], *, priority: Priority | None = None) -> SendResult:
        """UPSERT, masked UPDATE and DELETE in one batch. UPSERT is for accounts without a feed data source."""
        check_batch(operations, self.capabilities)
        lane = priority or lane_of(operations)
        body = self.batch_body(operations)
        call = self._call(Endpoint.SEND, "POST", _BATCH_PATH, safe=False, priority=lane)
        call = replace(call, content=orjson.dumps(body))
        answer = await answered(self.http, call, classify=classify, usage=usage)
        return send_result(answer, [operation.platform_item_id for operation in operations])

    async def poll(self, handle: str, sent: Sequence[str]) -> PollResult:
        call = self._call(Endpoint.POLL, "GET", f"{_BATCH_PATH}/{handle}", safe=True, priority=Priority.FAST)
        try:
            answer = await answered(self.http, call, classify=classify, usage=usage)
        except PlatformFailure as failure:
            if failure.code == BATCH_GONE:
                return lost(sent)
            raise
        return poll_result(answer, sent)

    async def read_back(
        self, expected: Mapping[str, Mapping[str, object]], *, priority: Priority = Priority.SLOW
    ) -> Mapping[str, Seen]:
        found: dict[str, Mapping[str, Any]] = {}
        for ids in in_chunks(expected, READ_BACK_ITEMS_MAX):
            body = {
                "country": self.country,
                "language": self.locale,
                "filters": {"catalog_type": CATALOG_TYPE, "catalog_id": self.catalog_id, "item_ids": ids},
            }
            call = self._call(Endpoint.READ_BACK, "POST", "/catalogs/items", safe=True, priority=priority)
            call = replace(call, content=orjson.dumps(body))
            found.update(read.items_of(await answered(self.http, call, classify=classify, usage=usage)))
        return {key: read.seen(key, fields, found.get(key)) for key, fields in expected.items()}

    async def list_items(self, cursor: str | None) -> ListedPage:
        """Pinterest lists products of a catalog to selected partners only, those of a feed to everybody, and both
        without GTIN (its OpenAPI description, POST /catalogs/products/get_by_product_group_filters): nothing that
        Vitrin could count on. What is there under an id that we render is updated by UPSERT and found by read-back."""
        raise PlatformFailure(
            FailureKind.INVALID_REQUEST,
            code="cannot_list",
            message="Pinterest does not list the items of a catalog.",
            fix="Give the channel the id template that the catalog's items were made with.",
        )

    def _call(self, endpoint: Endpoint, method: str, path: str, *, safe: bool, priority: Priority) -> Call:
        return Call(
            platform="pinterest",
            account=self.ad_account_id,
            rate=self.capabilities.rates[endpoint],
            method=method,
            url=f"{self.base_url}{path}",
            safe=safe,
            brand=self.brand,
            priority=priority,
            concurrency_max=self.capabilities.concurrency_max,
            params={"ad_account_id": self.ad_account_id},
            headers={"authorization": f"Bearer {self.access_token}", "content-type": "application/json"},
        )


def _record(kind: OperationKind, item_id: str, attributes: Mapping[str, object]) -> dict[str, object]:
    if kind is OperationKind.DELETE:
        return {"operation": "DELETE", "item_id": item_id}
    if kind is OperationKind.OFFER and render.is_masked_update(attributes):
        return {
            "operation": "UPDATE",
            "item_id": item_id,
            "attributes": dict(attributes),
            "update_mask": sorted(attributes),
        }
    return {"operation": "UPSERT", "item_id": item_id, "attributes": dict(attributes)}


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
    """Country and language of the batches are the channel's market and language."""
    for name, pattern in (("ad_account_id", _AD_ACCOUNT), ("catalog_id", _CATALOG)):
        if not pattern.fullmatch(external_ids.get(name, "")):
            raise ChannelMisconfigured(
                "external_id_invalid",
                field=f"external_ids.{name}",
                message=f"Pinterest's {name} is a number of digits.",
                fix=f"Copy the {name} from Pinterest's business page.",
            )
    locale = locale_of(language, market)
    if not _COUNTRY.fullmatch(market) or locale is None:
        raise ChannelMisconfigured(
            "language_unknown" if locale is None else "market_unknown",
            field="language" if locale is None else "market",
            message=f"Pinterest has no catalogs for language {language!r} in market {market!r}.",
            fix="Use an ISO 639-1 language such as en and an ISO 3166-1 country such as US.",
        )
    capabilities = (
        CAPABILITIES if rates is None else replace(CAPABILITIES, rates={**CAPABILITIES.rates, **rates})
    )
    return PinterestCatalog(
        http=http,
        base_url=(base_url or BASE_URL).rstrip("/"),
        access_token=access_token,
        ad_account_id=external_ids["ad_account_id"],
        catalog_id=external_ids["catalog_id"],
        country=market,
        locale=locale,
        currency=currency,
        capabilities=capabilities,
        brand=brand,
    )


SPEC: Final = PlatformSpec(
    name="pinterest",
    title="Pinterest",
    capabilities=CAPABILITIES,
    required_external_ids=("ad_account_id", "catalog_id"),
    optional_external_ids=("user_id", "tag_id"),
    default_base_url=BASE_URL,
    required_scopes=("catalogs:read", "catalogs:write"),
    open_channel=open_channel,
)
