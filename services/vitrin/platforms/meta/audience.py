"""Meta's `AudienceChannel`: custom audiences of customer files."""

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
from vitrin.platforms.calling import Classify, answered
from vitrin.platforms.meta import audience_rows as rows
from vitrin.platforms.meta.audience_errors import classify_account, classify_audience
from vitrin.platforms.meta.rules import BASE_URL
from vitrin.platforms.meta.usage import usage_of
from vitrin.platforms.personal.model import Field
from vitrin.platforms.records import Limits, check_batch

ROWS_MAX: Final = 10_000
BYTES_MAX: Final = 20_000_000
"""Chosen by us: 10,000 rows of all columns have less; Meta publishes no limit (unverified)."""
PAGE: Final = 100
PAGES_MAX: Final = 100
USAGE: Final = usage_of("custom_audience")

CAPABILITIES: Final = AudienceCapabilities(
    platform="meta",
    ids=("audience_id",),
    fields=(
        *(Field.EMAIL, Field.PHONE, Field.MOBILE_AD_ID, Field.EXTERNAL_ID, Field.FIRST_NAME, Field.LAST_NAME),
        *(Field.BIRTH_DATE, Field.GENDER, Field.CITY, Field.STATE, Field.POSTAL_CODE, Field.COUNTRY),
    ),
    limits=Limits(records_max=ROWS_MAX, bytes_max=BYTES_MAX),
    created_with_members=False,
    replaces=True,
    usable_min=100,
    # "100 or more of actual Facebook members": seen by another integration, no page says it (unverified).
    shrinks_to_min=100,
    shows_within_s=timedelta(hours=24).total_seconds(),
    concurrency_max=2,
    audiences_max=500,
    # "Not used in any active ad sets in over two years" (Meta's reference of custom audiences).
    unused_expires=timedelta(days=730),
    # The use case "custom_audience" of an account without active audiences has 5,000 calls an hour.
    rates={
        AudienceEndpoint.MEMBERS: Rate(endpoint="custom_audience_users", calls=50, per_s=60.0),
        AudienceEndpoint.MANAGE: Rate(endpoint="custom_audiences", calls=20, per_s=60.0),
        AudienceEndpoint.SIZE: Rate(endpoint="custom_audience_size", calls=10, per_s=60.0),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaAudiences:
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
            platform="meta",
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
        if begun is not None:
            return Created(begun)
        if members:
            raise PlatformFailure(
                FailureKind.INVALID_REQUEST,
                code="created_empty",
                message="a custom audience is made empty; its members are added after",
                fix="Create it without members and add them.",
            )
        body = {
            "name": spec.name,
            "description": spec.description,
            "subtype": "CUSTOM",
            "customer_file_source": "USER_PROVIDED_ONLY",
        }
        call = self._call(AudienceEndpoint.MANAGE, "POST", f"{self._account}/customaudiences", safe=False)
        answer = await self._ask(replace(call, content=orjson.dumps(body)), classify_account)
        if not answer.get("id"):
            raise PlatformFailure(
                FailureKind.UNKNOWN_OUTCOME,
                code="unreadable_answer",
                message="the answer has no id",
                fix="Vitrin looks for the audience by its name before it makes one.",
            )
        return Created(RemoteAudience({"audience_id": str(answer["id"])}))

    async def find(self, name: str) -> RemoteAudience | None:
        found: RemoteAudience | None = None
        after = ""
        for _page in range(PAGES_MAX):
            call = self._call(AudienceEndpoint.MANAGE, "GET", f"{self._account}/customaudiences", safe=True)
            params = {"fields": "id,name", "limit": str(PAGE)} | ({"after": after} if after else {})
            answer = await self._ask(replace(call, params=params), classify_account)
            found = rows.newer(found, rows.named_audience(answer.get("data"), name))
            after = next_page(answer)
            if not after:
                return found
        return found

    async def add(
        self,
        audience: RemoteAudience,
        members: Sequence[RenderedMember],
        *,
        priority: Priority = Priority.SLOW,
    ) -> MembersResult:
        return await self._members("POST", audience, "users", members, priority=priority)

    async def remove(
        self,
        audience: RemoteAudience,
        members: Sequence[RenderedMember],
        *,
        priority: Priority = Priority.FAST,
    ) -> MembersResult:
        return await self._members("DELETE", audience, "users", members, priority=priority)

    async def replace(
        self, audience: RemoteAudience, members: Sequence[RenderedMember], *, step: ReplaceStep
    ) -> MembersResult:
        """All calls of one replace must come within 90 minutes (unverified)."""
        session = {
            "session_id": step.session_id,
            "batch_seq": step.batch_seq,
            "last_batch_flag": step.is_last,
            "estimated_num_total": step.rows_total,
        }
        return await self._members(
            "POST", audience, "usersreplace", members, priority=Priority.SLOW, session=session
        )

    async def size(self, audience: RemoteAudience) -> AudienceSize:
        call = self._call(AudienceEndpoint.SIZE, "GET", audience.ids["audience_id"], safe=True)
        answer = await self._ask(replace(call, params={"fields": rows.SIZE_FIELDS}), classify_audience)
        return rows.size(answer)

    async def delete(self, audience: RemoteAudience) -> None:
        call = self._call(AudienceEndpoint.MANAGE, "DELETE", audience.ids["audience_id"], safe=False)
        try:
            await self._ask(call, classify_audience)
        except PlatformFailure as failure:
            if failure.code != AUDIENCE_GONE:
                raise

    async def _members(
        self,
        method: str,
        audience: RemoteAudience,
        edge: str,
        members: Sequence[RenderedMember],
        *,
        priority: Priority,
        session: Mapping[str, object] | None = None,
    ) -> MembersResult:
        check_batch(
            [member.member_id for member in members],
            records=sum(len(member.rows) for member in members),
            size_bytes=sum(member.size_bytes for member in members),
            limits=self.capabilities.limits,
        )
        body: dict[str, object] = {"payload": rows.payload(members)}
        if session is not None:
            body["session"] = session
        call = self._call(
            AudienceEndpoint.MEMBERS,
            method,
            f"{audience.ids['audience_id']}/{edge}",
            safe=False,
            priority=priority,
        )
        answer = await self._ask(replace(call, content=orjson.dumps(body)), classify_audience)
        return rows.members_result(answer, members)

    async def _ask(self, call: Call, classify: Classify) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = await answered(self.http, call, classify=classify, usage=USAGE)
        return answer

    @property
    def _account(self) -> str:
        return f"act_{self.ad_account_id}"

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
            platform="meta",
            account=self.ad_account_id,
            rate=self.capabilities.rates[endpoint],
            method=method,
            url=f"{self.base_url}/{path}",
            safe=safe,
            brand=self.brand,
            priority=priority,
            concurrency_max=self.capabilities.concurrency_max,
            headers={"authorization": f"Bearer {self.access_token}", "content-type": "application/json"},
        )


def next_page(answer: Mapping[str, Any]) -> str:
    """The cursor of the next page; "" after the last."""
    paging = answer.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return ""
    cursors = paging.get("cursors")
    return str(cursors.get("after") or "") if isinstance(cursors, dict) else ""


def digits_id(external_ids: Mapping[str, str], name: str, *, where: str) -> str:
    """An id of Meta's without the prefix "act_". Raises ChannelMisconfigured."""
    found = external_ids.get(name, "").removeprefix("act_")
    if not (found.isascii() and found.isdigit()):
        raise ChannelMisconfigured(
            "external_id_invalid",
            field=f"external_ids.{name}",
            message=f"Meta's {name} is a number of digits.",
            fix=f"Copy the id from {where}.",
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
    return MetaAudiences(
        http=http,
        base_url=(base_url or BASE_URL).rstrip("/"),
        access_token=access_token,
        ad_account_id=digits_id(external_ids, "ad_account_id", where="Meta's Ads Manager"),
        capabilities=replace(CAPABILITIES, rates={**CAPABILITIES.rates, **(rates or {})}),
        brand=brand,
    )


NETWORK: Final = AudienceNetwork(
    name="meta",
    title="Meta",
    capabilities=CAPABILITIES,
    required_external_ids=("ad_account_id",),
    required_scopes=("ads_management",),
    default_base_url=BASE_URL,
    open_channel=open_channel,
)
