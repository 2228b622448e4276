"""Pinterest's customer lists, the pure half. Source: its OpenAPI description 5.23.0, unless marked.

A record is one hash: an e-mail address (lower case, SHA-256) or a mobile ad id (SHA-256). Records travel as one string
with commas. Pinterest answers with counters of the whole list and names nobody.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from vitrin.platforms.audience import (
    AudienceSize,
    AudienceSpec,
    AudienceState,
    Member,
    MembersResult,
    RenderedMember,
)
from vitrin.platforms.base import Outcome, Problem
from vitrin.platforms.personal.lint import prepare, problem
from vitrin.platforms.personal.model import Field
from vitrin.platforms.personal.rules import PINTEREST
from vitrin.platforms.records import all_of

FIELDS: Final = (Field.EMAIL, Field.MOBILE_AD_ID)
_STATES: Final = {
    "READY": AudienceState.READY,
    "INITIALIZING": AudienceState.PROCESSING,
    "PROCESSING": AudienceState.PROCESSING,
    "UPLOADING": AudienceState.PROCESSING,
    "TOO_SMALL": AudienceState.TOO_SMALL,
}


def render(member: Member) -> RenderedMember:
    prepared = prepare(member.person, PINTEREST, FIELDS)
    hashes = [one for name in FIELDS for one in prepared.values.get(name, ())]
    problems = () if hashes else (problem("no_identifier", ""),)
    return RenderedMember(
        member.member_id,
        tuple((one,) for one in hashes),
        sum(len(one) + 1 for one in hashes),
        problems,
        prepared.left_out,
        prepared.warnings,
    )


def records(members: Sequence[RenderedMember]) -> str:
    return ",".join(row[0] for member in members for row in member.rows)


def list_body(spec: AudienceSpec, members: Sequence[RenderedMember]) -> dict[str, object]:
    """A new customer list, which cannot be empty."""
    return {"name": spec.name, "list_type": "EMAIL", "records": records(members)}


def update_body(operation: str, members: Sequence[RenderedMember]) -> dict[str, object]:
    """`operation`: ADD or REMOVE."""
    return {"operation_type": operation, "records": records(members)}


def audience_body(spec: AudienceSpec, *, ad_account_id: str, customer_list_id: str) -> dict[str, object]:
    """The audience that stands on a list."""
    return {
        "ad_account_id": ad_account_id,
        "audience_type": "CUSTOMER_LIST",
        "name": spec.name,
        "description": spec.description,
        "rule": {"customer_list_id": customer_list_id},
    }


REMOVE_BODY: Final[Mapping[str, object]] = {"operation_type": "REMOVE"}


def members_result(answer: Mapping[str, Any], members: Sequence[RenderedMember]) -> MembersResult:
    """`exceptions`: "customer list errors", of a shape that is not published: with any, nobody is known to be in."""
    ids = [member.member_id for member in members]
    exceptions = answer.get("exceptions")
    if not exceptions:
        return MembersResult(all_of(ids, Outcome.ACCEPTED))
    reason = Problem(
        "list_exceptions",
        "",
        f"Pinterest reported errors of the list: {str(exceptions)[:300]}",
        "Follow what Pinterest says; Vitrin sends the members again.",
    )
    return MembersResult(all_of(ids, Outcome.UNKNOWN, reason=reason))


def size(audience: Mapping[str, Any], customer_list: Mapping[str, Any]) -> AudienceSize:
    """People from the audience, rows from its list, the time of the older of the two."""
    people = audience.get("size")
    found = people if isinstance(people, int) and not isinstance(people, bool) and people >= 0 else None
    words = (str(audience.get("status") or ""), str(customer_list.get("status") or ""))
    states = [_STATES[word] for word in words if word in _STATES]
    # A list that is being matched shows the old size until it is done.
    busy = AudienceState.PROCESSING in states
    state = AudienceState.PROCESSING if busy else (states or [AudienceState.PROCESSING])[0]
    times = [
        time
        for time in (
            _number(audience.get("updated_timestamp")),
            _number(customer_list.get("updated_time")),
        )
        if time
    ]
    return AudienceSize(
        state,
        found,
        found,
        _number(customer_list.get("num_uploaded_user_records")),
        _number(customer_list.get("num_removed_user_records")),
        datetime.fromtimestamp(min(times), UTC) if times else None,
        f"audience {words[0]}, list {words[1]}",
    )


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def named(rows: object, name: str) -> str:
    """The newest id of exactly this name among the rows of a page, "" for none: ids grow."""
    found = [
        str(row["id"])
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and row.get("name") == name and row.get("id")
    ]
    return newest(found)


def newest(ids: Sequence[str]) -> str:
    return max((one for one in ids if one), key=lambda one: (len(one), one), default="")
