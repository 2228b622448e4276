"""Pinterest's `ConversionChannel`: the conversions API of one ad account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Final

import orjson

from vitrin.kit.http_client import Call, PlatformHttp, Priority, Rate
from vitrin.platforms.calling import answered
from vitrin.platforms.conversion import (
    Conversion,
    ConversionCapabilities,
    ConversionChannel,
    ConversionEndpoint,
    ConversionNetwork,
    ConversionResult,
    RenderedConversion,
    Reported,
    Test,
)
from vitrin.platforms.pinterest import conversion_events as events_of
from vitrin.platforms.pinterest.ads_errors import classify_events, classify_report
from vitrin.platforms.pinterest.audience import ad_account
from vitrin.platforms.pinterest.conversion_events import CAPABILITIES
from vitrin.platforms.pinterest.errors import usage
from vitrin.platforms.pinterest.rules import BASE_URL
from vitrin.platforms.records import check_batch


@dataclass(frozen=True, slots=True, kw_only=True)
class PinterestConversions:
    http: PlatformHttp
    base_url: str
    access_token: str = field(repr=False)
    ad_account_id: str
    capabilities: ConversionCapabilities = CAPABILITIES
    brand: str = ""

    def render(self, event: Conversion, *, now: datetime) -> RenderedConversion:
        return events_of.render(event, now=now)

    def ready_in_s(
        self,
        endpoint: ConversionEndpoint = ConversionEndpoint.SEND,
        *,
        priority: Priority = Priority.SLOW,
    ) -> float:
        return self.http.ready_in_s(
            platform="pinterest",
            account=self.ad_account_id,
            rate=self.capabilities.rates[endpoint],
            brand=self.brand,
            priority=priority,
        )

    async def send(
        self,
        events: Sequence[RenderedConversion],
        *,
        test: Test | None = None,
        priority: Priority = Priority.SLOW,
    ) -> ConversionResult:
        ids = [event.event_id for event in events]
        check_batch(
            ids,
            records=len(events),
            size_bytes=sum(event.size_bytes for event in events),
            limits=self.capabilities.limits,
        )
        call = self._call(ConversionEndpoint.SEND, "POST", "events", safe=False, priority=priority)
        call = replace(
            call,
            params={"test": "true"} if test is not None else {},
            content=orjson.dumps({"data": [event.body for event in events]}),
        )
        answer = await answered(self.http, call, classify=classify_events, usage=usage)
        return events_of.result(answer, ids)

    async def reported(self, since: date, until: date) -> tuple[Reported, ...]:
        """Shares over the last day, or over the last fourteen, up to now: `until` is today."""
        period, first = events_of.lookback(since, until)
        call = self._call(
            ConversionEndpoint.REPORT, "GET", "conversion_eqs", safe=True, priority=Priority.SLOW
        )
        call = replace(call, params={"lookback_period": period, "ingestion_source": "CONVERSIONS_API"})
        answer = await answered(self.http, call, classify=classify_report, usage=usage)
        return events_of.reported(answer, since=first, until=until)

    def _call(
        self, endpoint: ConversionEndpoint, method: str, edge: str, *, safe: bool, priority: Priority
    ) -> Call:
        return Call(
            platform="pinterest",
            account=self.ad_account_id,
            rate=self.capabilities.rates[endpoint],
            method=method,
            url=f"{self.base_url}/ad_accounts/{self.ad_account_id}/{edge}",
            safe=safe,
            brand=self.brand,
            priority=priority,
            concurrency_max=self.capabilities.concurrency_max,
            headers={"authorization": f"Bearer {self.access_token}", "content-type": "application/json"},
        )


def open_channel(
    *,
    http: PlatformHttp,
    access_token: str,
    external_ids: Mapping[str, str],
    base_url: str | None = None,
    rates: Mapping[ConversionEndpoint, Rate] | None = None,
    brand: str = "",
) -> ConversionChannel:
    return PinterestConversions(
        http=http,
        base_url=(base_url or BASE_URL).rstrip("/"),
        access_token=access_token,
        ad_account_id=ad_account(external_ids),
        capabilities=replace(CAPABILITIES, rates={**CAPABILITIES.rates, **(rates or {})}),
        brand=brand,
    )


NETWORK: Final = ConversionNetwork(
    name="pinterest",
    title="Pinterest",
    capabilities=CAPABILITIES,
    required_external_ids=("ad_account_id",),
    required_scopes=("ads:read", "ads:write"),
    default_base_url=BASE_URL,
    open_channel=open_channel,
)
