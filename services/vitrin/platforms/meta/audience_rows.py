"""Meta's custom audiences, the pure half: people as rows of hashes, answers as verdicts.

Source: platforms.md 1.4 and the SDK's custom audience mixin (v26). A row has one e-mail address and one phone number; a
person with more of them takes more rows under the same EXTERN_ID. Columns that nobody in a batch uses are not sent.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from vitrin.platforms.audience import (
    AudienceSize,
    AudienceState,
    Member,
    MembersResult,
    RemoteAudience,
    RenderedMember,
)
from vitrin.platforms.base import Outcome, Problem
from vitrin.platforms.meta.errors import number_of
from vitrin.platforms.personal.lint import Prepared, prepare, problem
from vitrin.platforms.personal.model import Field
from vitrin.platforms.personal.rules import META_AUDIENCE
from vitrin.platforms.personal.text import birth_date
from vitrin.platforms.records import RecordVerdict

COLUMNS: Final = (
    *("EXTERN_ID", "EMAIL", "PHONE", "MADID", "GEN", "DOBY", "DOBM", "DOBD"),
    *("FN", "LN", "CT", "ST", "ZIP", "COUNTRY"),
)
_ONE_VALUE: Final[Mapping[str, Field]] = {
    "EXTERN_ID": Field.EXTERNAL_ID,
    "GEN": Field.GENDER,
    "FN": Field.FIRST_NAME,
    "LN": Field.LAST_NAME,
    "CT": Field.CITY,
    "ST": Field.STATE,
    "ZIP": Field.POSTAL_CODE,
    "COUNTRY": Field.COUNTRY,
}
IDENTIFIERS: Final = (Field.EMAIL, Field.PHONE, Field.MOBILE_AD_ID)
"""At least one of them is needed: names and places alone match nobody in particular."""
SIZE_FIELDS: Final = (
    "approximate_count_lower_bound,approximate_count_upper_bound,operation_status,delivery_status,"
    "time_content_updated,time_updated"
)
NORMAL: Final = 200
FLAGGED: Final = 471
UPDATING: Final = frozenset({411, 412, 413, 414, 415, 441})
"""operation_status while it is being matched; 441 is documented, the others are from older pages (unverified)."""
DELIVERY_TOO_SMALL: Final = 300
"""delivery_status of an audience that is too small to be used (unverified)."""

INVALID_ENTRY: Final = Problem(
    "entry_invalid",
    "",
    "Meta could not read this row.",
    "Look at the person's data: an address that was hashed elsewhere is no SHA-256 in hex.",
)
SOME_INVALID: Final = Problem(
    "some_entries_invalid",
    "",
    "Meta could not read some rows of the batch and did not name them all.",
    "Vitrin sends the batch again in halves until it knows which.",
)
PARTLY_RECEIVED: Final = Problem(
    "partly_received",
    "",
    "Meta counted fewer rows than it was sent.",
    "Vitrin sends the batch again; a member that is in already stays in once.",
)


def render(member: Member) -> RenderedMember:
    prepared = prepare(member.person, META_AUDIENCE)
    rows = _rows(prepared, _born(member.person.birth_date))
    problems = () if rows else (problem("no_identifier", ""),)
    # Every cell as JSON: two quotes and a comma; a row has brackets and a comma.
    size_bytes = sum(sum(len(cell) + 3 for cell in row) + 3 for row in rows)
    return RenderedMember(member.member_id, rows, size_bytes, problems, prepared.left_out, prepared.warnings)


def _born(raw: str) -> dict[str, str]:
    """The three cells of a birth date, each hashed by itself; a date that came as a hash cannot be taken apart."""
    day = birth_date(raw)
    parts = {"DOBY": day[:4], "DOBM": day[4:6], "DOBD": day[6:]} if day else {}
    return {name: sha256(part.encode()).hexdigest() for name, part in parts.items()}


def _rows(prepared: Prepared, born: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """EXTERN_ID alone is an identifier only for the account that has it, so it does not count."""
    if not any(prepared.values.get(field) for field in IDENTIFIERS):
        return ()
    one = {name: prepared.values.get(field, ("",))[0] for name, field in _ONE_VALUE.items()}
    emails, phones, devices = (prepared.values.get(field, ()) for field in IDENTIFIERS)
    rows = []
    for position in range(max(len(emails), len(phones), len(devices))):
        cells = {
            **one,
            **born,
            "EMAIL": emails[position] if position < len(emails) else "",
            "PHONE": phones[position] if position < len(phones) else "",
            "MADID": devices[position] if position < len(devices) else "",
        }
        rows.append(tuple(cells.get(name, "") for name in COLUMNS))
    return tuple(rows)


def payload(members: Sequence[RenderedMember]) -> dict[str, object]:
    """`schema` and `data` with the columns that somebody fills."""
    rows = [row for member in members for row in member.rows]
    used = [at for at in range(len(COLUMNS)) if any(row[at] for row in rows)]
    return {"schema": [COLUMNS[at] for at in used], "data": [[row[at] for at in used] for row in rows]}


def members_result(answer: Mapping[str, Any], members: Sequence[RenderedMember]) -> MembersResult:
    """Meta names samples of the rows that it could not read, never all: who is not named is then unknown."""
    rows = sum(len(member.rows) for member in members)
    received = number_of(answer.get("num_received"))
    invalid = number_of(answer.get("num_invalid_entries"))
    named = _named(answer.get("invalid_entry_samples"), members) if invalid else set()
    rest: tuple[Outcome, tuple[Problem, ...]] = (Outcome.ACCEPTED, ())
    if received < rows:
        rest = (Outcome.UNKNOWN, (PARTLY_RECEIVED,))
    elif invalid and invalid > len(named):
        rest = (Outcome.UNKNOWN, (SOME_INVALID,))
    return MembersResult(
        tuple(
            RecordVerdict(member.member_id, Outcome.REFUSED, (INVALID_ENTRY,))
            if member.member_id in named
            else RecordVerdict(member.member_id, *rest)
            for member in members
        ),
        received,
        invalid,
    )


def _named(samples: object, members: Sequence[RenderedMember]) -> set[str]:
    """The members of whom a cell stands in the samples (a map of strings whose meaning is not published)."""
    if not isinstance(samples, dict):
        return set()
    words = {str(part) for pair in samples.items() for part in pair if part}
    return {
        member.member_id
        for member in members
        if any(cell and cell in words for row in member.rows for cell in row)
    }


def size(answer: Mapping[str, Any]) -> AudienceSize:
    operation, delivery = (_object(answer.get(name)) for name in ("operation_status", "delivery_status"))
    changed = number_of(answer.get("time_content_updated"))
    words = [str(one.get("description") or "") for one in (operation, delivery)]
    return AudienceSize(
        _state(number_of(operation.get("code")), number_of(delivery.get("code"))),
        _people(answer.get("approximate_count_lower_bound")),
        _people(answer.get("approximate_count_upper_bound")),
        as_of=datetime.fromtimestamp(changed, UTC) if changed else None,
        words=" ".join(word for word in words if word),
    )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _state(operation: int, delivery: int) -> AudienceState:
    if operation == FLAGGED:
        return AudienceState.FLAGGED
    if operation in UPDATING:
        return AudienceState.PROCESSING
    return AudienceState.TOO_SMALL if delivery == DELIVERY_TOO_SMALL else AudienceState.READY


def _people(value: object) -> int | None:
    """-1 where Meta has not counted yet (unverified)."""
    if value is None:
        return None
    people = number_of(value)
    return people if people >= 0 else None


def named_audience(rows: object, name: str) -> RemoteAudience | None:
    """The newest of exactly this name among the rows of one page: ids grow."""
    found = [
        str(row["id"])
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and row.get("name") == name and row.get("id")
    ]
    newest = max(found, key=lambda one: (len(one), one), default=None)
    return RemoteAudience({"audience_id": newest}) if newest else None


def newer(one: RemoteAudience | None, other: RemoteAudience | None) -> RemoteAudience | None:
    """The newer of two of the same name."""
    if one is None or other is None:
        return one or other
    ids = sorted((one.ids["audience_id"], other.ids["audience_id"]), key=lambda found: (len(found), found))
    return RemoteAudience({"audience_id": ids[-1]})
