"""Pinterest's `AudienceChannel`: a customer list, and the audience that stands on it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import orjson

from vitrin.kit.http_client import Call, PlatformHttp, Priority, Rate
from vitrin.platforms.audience import (
    AUDIENCE_GONE,
    AudienceCapabilities,
    AudienceChannel,
    AudienceEndpoint,
    AudienceNetwork,
    AudienceSize,
    AudienceSpec,
    Created,
    Member,
    MembersResult,
    RemoteAudience,
    RenderedMember,
    ReplaceStep,
)
from vitrin.platforms.base import ChannelMisconfigured, FailureKind, PlatformFailure
from vitrin.platforms.calling import answered
from vitrin.platforms.pinterest import audience_rows as rows
from vitrin.platforms.pinterest.ads_errors import classify_audience
from vitrin.platforms.pinterest.errors import usage
from vitrin.platforms.pinterest.rules import BASE_URL
from vitrin.platforms.records import Limits, RecordVerdict, check_batch

RECORDS_MAX: Final = 50_000
"""Chosen by us: no limit is published (unverified)."""
BYTES_MAX: Final = 5_000_000
PAGE: Final = 250
PAGES_MAX: Final = 40

CAPABILITIES: Final = AudienceCapabilities(
    platform="pinterest",
    ids=("customer_list_id", "audience_id"),
    fields=rows.FIELDS,
    limits=Limits(records_max=RECORDS_MAX, bytes_max=BYTES_MAX),
    created_with_members=True,
    replaces=False,
    usable_min=100,
    shrinks_to_min=None,
    # Pinterest says that matching takes up to two days (help page; unverified).
    shows_within_s=timedelta(hours=48).total_seconds(),
    concurrency_max=2,
    # Numbers of ads_write and ads_read: 1,000 calls a minute for reads, writes are not published (unverified).
    rates={
        AudienceEndpoint.MEMBERS: Rate(endpoint="customer_list_records", calls=120, per_s=60.0),
        AudienceEndpoint.MANAGE: Rate(endpoint="customer_lists", calls=60, per_s=60.0),
        AudienceEndpoint.SIZE: Rate(endpoint="audiences", calls=60, per_s=60.0),
    },
)
_AD_ACCOUNT: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PinterestAudiences:
    http: PlatformHttp
    base_url: str
    access_token: str = field(repr=False)
    ad_account_id: str
    capabilities: AudienceCapabilities = CAPABILITIES
    brand: str = ""

    def render(self, members: Sequence[Member]) -> list[RenderedMember]:
        return [rows.render(member) for member in members]

    def ready_in_s(self, endpoint: AudienceEndpoint, *, priority: Priority = Priority.SLOW) -> float:
        return self.http.ready_in_s(
            platform="pinterest",
            account=self.ad_account_id,
            rate=self.capabilities.rates[endpoint],
            brand=self.brand,
            priority=priority,
        )

    async def create(
        self,
        spec: AudienceSpec,
        members: Sequence[RenderedMember] = (),
        *,
        begun: RemoteAudience | None = None,
    ) -> Created:
        list_id = begun.ids.get("customer_list_id", "") if begun else ""
        audience_id = begun.ids.get("audience_id", "") if begun else ""
        verdicts: tuple[RecordVerdict, ...] = ()
        if not list_id:
            self._check(members)
            listed = rows.list_body(spec, members)
            answer = await self._write(AudienceEndpoint.MEMBERS, "POST", "/customer_lists", listed)
            list_id = _id_of(answer)
            verdicts = rows.members_result(answer, members).verdicts
        if not audience_id:
            body = rows.audience_body(spec, ad_account_id=self.ad_account_id, customer_list_id=list_id)
            audience_id = _id_of(await self._write(AudienceEndpoint.MANAGE, "POST", "/audiences", body))
        return Created(RemoteAudience({"customer_list_id": list_id, "audience_id": audience_id}), verdicts)

    async def find(self, name: str) -> RemoteAudience | None:
        """Both by name. A list without its audience is an audience whose creation was broken off."""
        list_id, audience_id = (
            await self._named("/customer_lists", name),
            await self._named("/audiences", name),
        )
        found = {"customer_list_id": list_id, "audience_id": audience_id}
        ids = {key: value for key, value in found.items() if value}
        return RemoteAudience(ids) if list_id else None

    async def add(
        self,
        audience: RemoteAudience,
        members: Sequence[RenderedMember],
        *,
        priority: Priority = Priority.SLOW,
    ) -> MembersResult:
        return await self._members("ADD", audience, members, priority=priority)

    async def remove(
        self,
        audience: RemoteAudience,
        members: Sequence[RenderedMember],
        *,
        priority: Priority = Priority.FAST,
    ) -> MembersResult:
        return await self._members("REMOVE", audience, members, priority=priority)

    async def replace(
        self, audience: RemoteAudience, members: Sequence[RenderedMember], *, step: ReplaceStep
    ) -> MembersResult:
        raise PlatformFailure(
            FailureKind.INVALID_REQUEST,
            code="cannot_replace",
            message="Pinterest has no call that replaces a customer list.",
            fix="Remove who left and add who came.",
        )

    async def size(self, audience: RemoteAudience) -> AudienceSize:
        shown = await self._read(f"/audiences/{audience.ids['audience_id']}")
        behind = await self._read(f"/customer_lists/{audience.ids['customer_list_id']}")
        return rows.size(shown, behind)

    async def delete(self, audience: RemoteAudience) -> None:
        path = f"/audiences/{audience.ids['audience_id']}"
        try:
            await self._write(AudienceEndpoint.MANAGE, "PATCH", path, rows.REMOVE_BODY)
        except PlatformFailure as failure:
            if failure.code != AUDIENCE_GONE:
                raise

    async def _members(
        self,
        operation: str,
        audience: RemoteAudience,
        members: Sequence[RenderedMember],
        *,
        priority: Priority,
    ) -> MembersResult:
        self._check(members)
        body = rows.update_body(operation, members)
        path = f"/customer_lists/{audience.ids['customer_list_id']}"
        answer = await self._write(AudienceEndpoint.MEMBERS, "PATCH", path, body, priority=priority)
        return rows.members_result(answer, members)

    def _check(self, members: Sequence[RenderedMember]) -> None:
        check_batch(
            [member.member_id for member in members],
            records=sum(len(member.rows) for member in members),
            size_bytes=sum(member.size_bytes for member in members),
            limits=self.capabilities.limits,
        )

    async def _named(self, path: str, name: str) -> str:
        found: list[str] = []
        bookmark = ""
        for _page in range(PAGES_MAX):
            params = {"page_size": str(PAGE)} | ({"bookmark": bookmark} if bookmark else {})
            answer = await self._read(path, params)
            found.append(rows.named(answer.get("items"), name))
            bookmark = str(answer.get("bookmark") or "")
            if not bookmark:
                break
        return rows.newest(found)

    async def _read(self, path: str, params: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        call = replace(self._call(AudienceEndpoint.SIZE, "GET", path, safe=True), params=params or {})
        answer: Mapping[str, Any] = await answered(self.http, call, classify=classify_audience, usage=usage)
        return answer

    async def _write(
        self,
        endpoint: AudienceEndpoint,
        method: str,
        path: str,
        body: Mapping[str, object],
        *,
        priority: Priority = Priority.SLOW,
    ) -> Mapping[str, Any]:
        call = self._call(endpoint, method, path, safe=False, priority=priority)
        answer: Mapping[str, Any] = await answered(
            self.http, replace(call, content=orjson.dumps(body)), classify=classify_audience, usage=usage
        )
        return answer

    def _call(
        self,
        endpoint: AudienceEndpoint,
        method: str,
        path: str,
        *,
        safe: bool,
        priority: Priority = Priority.SLOW,
    ) -> Call:
        return Call(
            platform="pinterest",
            account=self.ad_account_id,
            rate=self.capabilities.rates[endpoint],
            method=method,
            url=f"{self.base_url}/ad_accounts/{self.ad_account_id}{path}",
            safe=safe,
            brand=self.brand,
            priority=priority,
            concurrency_max=self.capabilities.concurrency_max,
            headers={"authorization": f"Bearer {self.access_token}", "content-type": "application/json"},
        )


def _id_of(answer: Mapping[str, Any]) -> str:
    if not answer.get("id"):
        raise PlatformFailure(
            FailureKind.UNKNOWN_OUTCOME,
            code="unreadable_answer",
            message="the answer has no id",
            fix="Vitrin looks for the audience by its name before it makes one.",
        )
    return str(answer["id"])


def ad_account(external_ids: Mapping[str, str]) -> str:
    """Raises ChannelMisconfigured."""
    found = external_ids.get("ad_account_id", "")
    if not _AD_ACCOUNT.fullmatch(found):
        raise ChannelMisconfigured(
            "external_id_invalid",
            field="external_ids.ad_account_id",
            message="Pinterest's ad_account_id is a number of digits.",
            fix="Copy the ad_account_id from Pinterest's business page.",
        )
    return found


def open_channel(
    *,
    http: PlatformHttp,
    access_token: str,
    external_ids: Mapping[str, str],
    base_url: str | None = None,
    rates: Mapping[AudienceEndpoint, Rate] | None = None,
    brand: str = "",
) -> AudienceChannel:
    return PinterestAudiences(
        http=http,
        base_url=(base_url or BASE_URL).rstrip("/"),
        access_token=access_token,
        ad_account_id=ad_account(external_ids),
        capabilities=replace(CAPABILITIES, rates={**CAPABILITIES.rates, **(rates or {})}),
        brand=brand,
    )


NETWORK: Final = AudienceNetwork(
    name="pinterest",
    title="Pinterest",
    capabilities=CAPABILITIES,
    required_external_ids=("ad_account_id",),
    required_scopes=("ads:read", "ads:write"),
    default_base_url=BASE_URL,
    open_channel=open_channel,
)
