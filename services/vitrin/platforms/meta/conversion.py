"""Meta's `ConversionChannel`: the Conversions API of one pixel or data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Final

import orjson

from vitrin.kit.http_client import Call, PlatformHttp, Priority, Rate
from vitrin.platforms.base import FailureKind, PlatformFailure
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
from vitrin.platforms.meta import conversion_events as events_of
from vitrin.platforms.meta.audience import digits_id, next_page
from vitrin.platforms.meta.audience_errors import classify_events
from vitrin.platforms.meta.conversion_events import CAPABILITIES
from vitrin.platforms.meta.rules import BASE_URL
from vitrin.platforms.records import check_batch

PARTNER_AGENT: Final = "vitrin"
PAGES_MAX: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaConversions:
    http: PlatformHttp
    base_url: str
    access_token: str = field(repr=False)
    pixel_id: str
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
            platform="meta",
            account=self.pixel_id,
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
        body: dict[str, object] = {"data": [event.body for event in events], "partner_agent": PARTNER_AGENT}
        if test is not None:
            if not test.code:
                raise PlatformFailure(
                    FailureKind.INVALID_REQUEST,
                    code="test_code_missing",
                    message="Meta takes events for a test only with a test event code",
                    fix="Copy the code from Events Manager, Test events.",
                )
            body["test_event_code"] = test.code
        call = self._call(ConversionEndpoint.SEND, "POST", "events", safe=False, priority=priority)
        answer = await answered(
            self.http, replace(call, content=orjson.dumps(body)), classify=classify_events
        )
        return events_of.result(answer, ids)

    async def reported(self, since: date, until: date) -> tuple[Reported, ...]:
        pages: list[Mapping[str, Any]] = []
        after = ""
        for _page in range(PAGES_MAX):
            call = self._call(ConversionEndpoint.REPORT, "GET", "stats", safe=True, priority=Priority.SLOW)
            params = events_of.stats_params(since, until, "event") | ({"after": after} if after else {})
            answer: Mapping[str, Any] = await answered(
                self.http, replace(call, params=params), classify=classify_events
            )
            pages.append(answer)
            after = next_page(answer)
            if not after:
                break
        return events_of.reported(pages)

    def _call(
        self, endpoint: ConversionEndpoint, method: str, edge: str, *, safe: bool, priority: Priority
    ) -> Call:
        return Call(
            platform="meta",
            account=self.pixel_id,
            rate=self.capabilities.rates[endpoint],
            method=method,
            url=f"{self.base_url}/{self.pixel_id}/{edge}",
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
    return MetaConversions(
        http=http,
        base_url=(base_url or BASE_URL).rstrip("/"),
        access_token=access_token,
        pixel_id=digits_id(external_ids, "pixel_id", where="Meta's Events Manager"),
        capabilities=replace(CAPABILITIES, rates={**CAPABILITIES.rates, **(rates or {})}),
        brand=brand,
    )


NETWORK: Final = ConversionNetwork(
    name="meta",
    title="Meta",
    capabilities=CAPABILITIES,
    required_external_ids=("pixel_id",),
    required_scopes=("ads_management",),
    default_base_url=BASE_URL,
    open_channel=open_channel,
)
