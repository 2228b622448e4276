"""Custom audiences: edges of the ad account and of the audience.

Parameter names and enums are those of the SDK for Graph v26.0; members' rows follow its custom audience mixin. Which
words an invalid entry is reported with, and below which size removals are refused, is unverified.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vitrin.sandbox.ads.audiences import Audience
from vitrin.sandbox.meta import params as read
from vitrin.sandbox.meta.errors import NAMED, invalid_parameter, missing_object
from vitrin.sandbox.meta.listing import cursor, position
from vitrin.sandbox.meta.quota import CUSTOM_AUDIENCE
from vitrin.sandbox.wire import Reply

if TYPE_CHECKING:
    from vitrin.sandbox.meta.platform import MetaPlatform, Request

ROWS_MAX = 10_000
AUDIENCES_MAX = 500
SAMPLES_MAX = 5
PAGE_DEFAULT, PAGE_MAX = 25, 200
KEYS = frozenset(
    {
        *("EXTERN_ID", "EMAIL", "PHONE", "GEN", "DOBY", "DOBM", "DOBD", "LN", "FN", "FI", "CT", "ST", "ZIP"),
        *("MADID", "COUNTRY", "APPUID", "LOOKALIKE_VALUE"),
        *("DATA_PROCESSING_OPTIONS", "DATA_PROCESSING_OPTIONS_COUNTRY", "DATA_PROCESSING_OPTIONS_STATE"),
    }
)
SINGLE = {"EMAIL_SHA256": "EMAIL", "PHONE_SHA256": "PHONE", "MOBILE_ADVERTISER_ID": "MADID"}
HASHED = frozenset(
    {"EMAIL", "PHONE", "GEN", "DOBY", "DOBM", "DOBD", "LN", "FN", "FI", "CT", "ST", "ZIP", "COUNTRY"}
)
STRONG = ("EMAIL", "PHONE", "MADID", "EXTERN_ID", "APPUID")
SHA256 = re.compile(r"[a-f0-9]{64}")
SOURCES = frozenset({"BOTH_USER_AND_PARTNER_PROVIDED", "PARTNER_PROVIDED_ONLY", "USER_PROVIDED_ONLY"})
LABELS = frozenset(
    {
        *("APP_USERS", "AT_RISK", "CART_ABANDONERS", "DISENGAGED", "DISQUALIFIED_LEADS", "ENGAGED_USERS"),
        *(
            "GENERAL_CUSTOMERS",
            "HIGH_VALUE_CUSTOMERS",
            "LOW_VALUE_CUSTOMERS",
            "OTHER_1",
            "OTHER_2",
            "OTHER_3",
        ),
        *("QUALIFIED_LEADS", "RECENT_PURCHASERS", "TRIAL_USERS"),
    }
)
CREATE_PARAMS = frozenset(
    {"name", "subtype", "description", "customer_file_source", "retention_days", "audience_labels"}
    | {"is_value_based", "use_in_campaigns", "opt_out_link", "usage_restriction", "allowed_domains"}
)
UPDATE_PARAMS = frozenset({"name", "description", "audience_labels", "opt_out_link", "use_in_campaigns"})
USERS_PARAMS = frozenset({"payload", "session", "namespace"})
PAYLOAD_KEYS = frozenset({"schema", "data", "is_raw", "app_ids", "page_ids"})
SESSION_KEYS = frozenset({"session_id", "batch_seq", "last_batch_flag", "estimated_num_total"})
FIELDS = (
    *("id", "account_id", "name", "description", "subtype", "customer_file_source", "audience_labels"),
    *(
        "approximate_count_lower_bound",
        "approximate_count_upper_bound",
        "operation_status",
        "delivery_status",
    ),
    *("time_created", "time_updated", "time_content_updated", "retention_days"),
)


def create(platform: MetaPlatform, request: Request) -> Reply:
    """``POST /act_{id}/customaudiences``."""
    params = request.params
    read.refuse_unknown(params, CREATE_PARAMS)
    name = params.get("name")
    if not isinstance(name, str) or not name.strip():
        raise invalid_parameter("The parameter name is required", "name")
    if read.choice(params, "subtype", {"CUSTOM", "LOOKALIKE", "WEBSITE", "ENGAGEMENT"}) != "CUSTOM":
        raise invalid_parameter("Only custom audiences of customer files are played here", "subtype")
    if read.choice(params, "customer_file_source", SOURCES) is None:
        raise invalid_parameter("The parameter customer_file_source is required", "customer_file_source")
    labels = read.json_value(params, "audience_labels") or []
    if not isinstance(labels, list) or not LABELS.issuperset(map(str, labels)):
        raise invalid_parameter("Param audience_labels has an unknown value", "audience_labels")
    owner = request.account.external_ids["ad_account_id"]
    audiences = platform.ads.audiences
    if len(audiences.of(owner)) >= AUDIENCES_MAX:
        raise invalid_parameter(f"At most {AUDIENCES_MAX} custom audiences", "name")
    number = len(audiences.audiences) + 1
    now_ms = request.call.received_ms
    made = audiences.create(
        Audience(
            audience_id=str(800_000_000_000_000 + number),
            account=owner,
            name=name,
            description=str(params.get("description") or ""),
            created_ms=now_ms,
            changed_ms=now_ms,
            extra={
                "customer_file_source": params["customer_file_source"],
                "audience_labels": labels,
                "retention_days": read.integer(
                    params, "retention_days", default=0, min_value=0, max_value=540
                ),
            },
        )
    )
    return Reply(200, {"id": made.audience_id})


def list_audiences(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /act_{id}/customaudiences``, a page at a time."""
    params = request.params
    read.refuse_unknown(
        params, {"business_id", "fetch_primary_audience", "filtering", "pixel_id", "bulk_pagination"}
    )
    names = read.field_names(params, allowed=FIELDS, default=("id",), node="CustomAudience")
    limit = read.integer(params, "limit", default=PAGE_DEFAULT, min_value=1, max_value=PAGE_MAX)
    everyone = platform.ads.audiences.of(request.account.external_ids["ad_account_id"])
    start = position(params.get("after"))
    page = everyone[start : start + limit]
    body: dict[str, Any] = {"data": [_shown(platform, request, one, names) for one in page]}
    if page:
        after = cursor(start + len(page))
        body["paging"] = {"cursors": {"before": cursor(start), "after": after}}
        if start + len(page) < len(everyone):
            body["paging"]["next"] = f"{request.call.base_url}{request.call.path}?after={after}&limit={limit}"
    return Reply(200, body)


def read_audience(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{audience}``."""
    read.refuse_unknown(request.params, {"ad_account_id", "special_ad_categories", "target_countries"})
    names = read.field_names(request.params, allowed=FIELDS, default=("id",), node="CustomAudience")
    return Reply(200, _shown(platform, request, _audience(platform, request), names))


def update(platform: MetaPlatform, request: Request) -> Reply:
    """``POST /{audience}``."""
    read.refuse_unknown(request.params, UPDATE_PARAMS)
    audience = _audience(platform, request)
    audience.name = str(request.params.get("name") or audience.name)
    audience.description = str(request.params.get("description", audience.description))
    platform.ads.audiences.note()
    return Reply(200, {"success": True})


def delete(platform: MetaPlatform, request: Request) -> Reply:
    """``DELETE /{audience}``."""
    _audience(platform, request).deleted = True
    platform.ads.audiences.note()
    return Reply(200, {"success": True})


def add_users(platform: MetaPlatform, request: Request) -> Reply:
    """``POST /{audience}/users``."""
    return _users(platform, request, "add")


def remove_users(platform: MetaPlatform, request: Request) -> Reply:
    """``DELETE /{audience}/users``."""
    return _users(platform, request, "remove")


def replace_users(platform: MetaPlatform, request: Request) -> Reply:
    """``POST /{audience}/usersreplace``: the new rows take the place of the old when the last batch is in."""
    return _users(platform, request, "replace")


def _users(platform: MetaPlatform, request: Request, what: str) -> Reply:
    if not platform.take(CUSTOM_AUDIENCE, request, owner=request.account.external_ids["ad_account_id"]):
        raise NAMED["throttle_audience"]
    params = request.params
    read.refuse_unknown(params, USERS_PARAMS)
    audience = _audience(platform, request)
    if audience.flagged:
        raise NAMED["audience_flagged"]
    rows = parse_payload(read.json_value(params, "payload"))
    session = _session(read.json_value(params, "session"), needed=what == "replace")
    effects = request.call.effects
    samples: dict[str, str] = {}
    good: list[dict[str, str]] = []
    received = invalid = 0
    for number, row in enumerate(rows):
        wrong = _wrong_cell(row)
        item_id = row_id(row)
        if effects.is_silent(item_id):
            continue
        received += 1
        if wrong is not None or effects.refusal_of(item_id, in_answer=False):
            invalid += 1
            if len(samples) < SAMPLES_MAX:
                samples[str(number)] = wrong or item_id
        else:
            good.append(row)
    _carry_out(platform, audience, what, good, session)
    body = {
        "audience_id": audience.audience_id,
        "session_id": str(session.get("session_id", request.call.received_ms)),
        "num_received": received,
        "num_invalid_entries": invalid,
        "invalid_entry_samples": samples,
    }
    ids = [row_id(row) for row in rows]
    return Reply(200, body, item_ids=ids, operations={what: len(rows)}, accepted_count=len(good))


def _carry_out(
    platform: MetaPlatform, audience: Audience, what: str, rows: list[dict[str, str]], session: dict[str, Any]
) -> None:
    book = platform.ads.audiences
    if what == "add":
        book.add(audience, rows)
    elif what == "remove":
        least = platform.settings.meta_audience_people_min
        if audience.rows and book.people_after_removal(audience, rows) < least:
            raise NAMED["audience_too_small"]
        book.remove(audience, rows)
    else:
        waiting = audience.extra.setdefault("replacing", {})
        waiting.setdefault(str(session["session_id"]), []).extend(rows)
        if session.get("last_batch_flag") is True:
            book.replace(audience, waiting.pop(str(session["session_id"])))


def parse_payload(payload: Any) -> list[dict[str, str]]:
    """The rows of a payload by their keys. Raises code 100."""
    if not isinstance(payload, dict):
        raise invalid_parameter("The parameter payload is required", "payload")
    unknown = sorted(payload.keys() - PAYLOAD_KEYS)
    if unknown:
        raise invalid_parameter(f"Param payload has an unexpected key: {', '.join(unknown)}", "payload")
    schema, data = payload.get("schema"), payload.get("data")
    names = [SINGLE[schema]] if isinstance(schema, str) and schema in SINGLE else schema
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list) or not names or not KEYS.issuperset(map(str, names)):
        raise invalid_parameter("Param payload[schema] must be a schema or a list of keys", "payload")
    if not isinstance(data, list) or not data:
        raise invalid_parameter("Data is missing or does not match schema", "payload")
    if len(data) > ROWS_MAX:
        raise invalid_parameter(f"Param payload[data] has more than {ROWS_MAX} rows", "payload")
    rows = []
    for row in data:
        cells = row if isinstance(row, list) else [row]
        if len(cells) != len(names) or not all(isinstance(cell, str | int | float) for cell in cells):
            raise invalid_parameter("Data is missing or does not match schema", "payload")
        rows.append({str(name): str(cell) for name, cell in zip(names, cells, strict=True) if cell != ""})
    return rows


def row_id(row: dict[str, str]) -> str:
    """How faults and the log name a row."""
    return row.get("EXTERN_ID") or next((row[name] for name in STRONG if name in row), "")


def _wrong_cell(row: dict[str, str]) -> str | None:
    """A cell that is no hash, or "" for a row without anything to match by."""
    for name, cell in row.items():
        if name in HASHED and not SHA256.fullmatch(cell):
            return cell
    return None if any(name in row for name in STRONG) else ""


def _session(session: Any, *, needed: bool) -> dict[str, Any]:
    if session is None and not needed:
        return {}
    if not isinstance(session, dict) or not session.keys() <= SESSION_KEYS:
        raise invalid_parameter("Param session is invalid", "session")
    for name in ("session_id", "batch_seq"):
        if not isinstance(session.get(name), int) or session[name] < 1:
            raise invalid_parameter(f"Param session[{name}] must be a number of at least 1", "session")
    if not isinstance(session.get("last_batch_flag"), bool):
        raise invalid_parameter("Param session[last_batch_flag] must be a boolean", "session")
    return session


def _audience(platform: MetaPlatform, request: Request) -> Audience:
    owner = request.account.external_ids["ad_account_id"]
    audience = platform.ads.audiences.find(request.object_id, account=owner)
    if audience is not None and request.call.effects.forgets:
        audience.deleted = True
        audience = None
    if audience is None:
        raise missing_object(request.object_id, method=request.call.method)
    return audience


def _shown(
    platform: MetaPlatform, request: Request, audience: Audience, names: tuple[str, ...]
) -> dict[str, Any]:
    book = platform.ads.audiences
    people = book.shown(audience, match_share=request.call.effects.match_share)
    settled = book.is_settled(audience)
    lower, upper = _bounds(people, settled=settled)
    status = {"code": 200, "description": "Normal"}
    if audience.flagged:
        status = {"code": 471, "description": "Flagged for integrity restrictions"}
    elif not settled:
        status = {"code": 441, "description": "The audience is being updated."}
    small = people < platform.settings.meta_audience_people_min
    shown: dict[str, Any] = {
        "id": audience.audience_id,
        "account_id": audience.account,
        "name": audience.name,
        "description": audience.description,
        "subtype": "CUSTOM",
        "approximate_count_lower_bound": lower,
        "approximate_count_upper_bound": upper,
        "operation_status": status,
        "delivery_status": {"code": 300, "description": "This audience is too small."}
        if small
        else {"code": 200, "description": "This audience is ready for use."},
        "time_created": audience.created_ms // 1000,
        "time_updated": audience.changed_ms // 1000,
        "time_content_updated": audience.changed_ms // 1000,
        **{name: audience.extra.get(name) for name in ("customer_file_source", "audience_labels")},
        "retention_days": audience.extra.get("retention_days", 0),
    }
    return {name: shown[name] for name in names} | {"id": audience.audience_id}


def _bounds(people: int, *, settled: bool) -> tuple[int, int]:
    """A range of rounded figures, 1,000 at least; -1 while nobody has been counted (unverified)."""
    if not people and not settled:
        return -1, -1
    lower = max(1_000, people // 100 * 100)
    return lower, max(1_000, -(-people * 118 // 10_000) * 100)
