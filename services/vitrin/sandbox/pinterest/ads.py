"""Customer lists, audiences, conversion events and their quality score. Shapes and words of OpenAPI 5.23.

Where the description is silent it is marked: which errors an event gets, the age of the oldest, and how long a repeat
is recognised are unverified.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from vitrin.sandbox.accounts import Account
from vitrin.sandbox.ads.audiences import Audience
from vitrin.sandbox.ads.conversions import per_day
from vitrin.sandbox.pinterest.errors import NAMED, ApiError, invalid_request
from vitrin.sandbox.pinterest.events import check_envelope, kept_event, wrong_words
from vitrin.sandbox.wire import Call, Reply

if TYPE_CHECKING:
    from vitrin.sandbox.pinterest.platform import PinterestPlatform

PATH = re.compile(r"/v5/ad_accounts/([^/]+)/(customer_lists|audiences|events|conversion_eqs)(?:/([^/]+))?")
LIST_TYPES = frozenset({"EMAIL", "IDFA", "MAID", "LR_ID", "DLX_ID", "HASHED_PINNER_ID"})
AUDIENCE_TYPES = frozenset({"CUSTOMER_LIST", "VISITOR", "ENGAGEMENT", "ACTALIKE", "PERSONA"})
EMAIL = re.compile(r"[^@\s,]+@[^@\s,]+\.[^@\s,]+")
HASHES = re.compile(r"[a-f0-9]{32}|[a-f0-9]{40}|[a-f0-9]{64}")
PEOPLE_MIN = 100
PAGE_DEFAULT, PAGE_MAX = 25, 250
LOOKBACK_MS = {"1d": 86_400_000, "14d": 14 * 86_400_000}

Endpoint = Callable[[Call, Account], Reply]


class AdsPaths:
    """The endpoints below ``/v5/ad_accounts/{id}`` that are played here."""

    def __init__(self, platform: PinterestPlatform, body_of: Callable[[Call], Any]) -> None:
        self._platform = platform
        self._body_of = body_of

    def find(self, call: Call) -> dict[str, tuple[str, Endpoint]] | None:
        """The methods of the path with their categories of limits; None for other paths."""
        found = PATH.fullmatch(call.path.rstrip("/"))
        if found is None:
            return None
        kind, one = found[2], found[3]
        tables: dict[tuple[str, bool], dict[str, tuple[str, Endpoint]]] = {
            ("customer_lists", False): {
                "GET": ("ads_read", self._list_lists),
                "POST": ("ads_write", self._create_list),
            },
            ("customer_lists", True): {
                "GET": ("ads_read", self._read_list),
                "PATCH": ("ads_write", self._update_list),
            },
            ("audiences", False): {
                "GET": ("ads_read", self._list_audiences),
                "POST": ("ads_write", self._create_audience),
            },
            ("audiences", True): {
                "GET": ("ads_read", self._read_audience),
                "PATCH": ("ads_write", self._update_audience),
            },
            ("events", False): {"POST": ("ads_conversions", self._events)},
            ("conversion_eqs", False): {"GET": ("ads_read", self._quality)},
        }
        return tables.get((kind, one is not None))

    def _own(self, call: Call, account: Account) -> str:
        """The last part of the path, of the account's own."""
        found = PATH.fullmatch(call.path.rstrip("/"))
        if found is None or found[1] != account.external_ids["ad_account_id"]:
            raise NAMED["permission"]
        return found[3] or ""

    def _object(self, call: Call, allowed: frozenset[str], *required: str) -> dict[str, Any]:
        body = self._body_of(call)
        if not isinstance(body, dict):
            raise invalid_request("the body must be an object")
        for name in required:
            if name not in body:
                raise invalid_request(f"'{name}' is a required property")
        strange = sorted(body.keys() - allowed)
        if strange:
            raise invalid_request(f"'{strange[0]}' was unexpected")
        return body

    def _create_list(self, call: Call, account: Account) -> Reply:
        self._own(call, account)
        body = self._object(call, frozenset({"name", "list_type", "records"}), "name", "records")
        if body.get("list_type", "EMAIL") not in LIST_TYPES:
            raise invalid_request(f"'{body['list_type']}' is not one of the list types")
        if not isinstance(body["name"], str) or not body["name"]:
            raise invalid_request("'name' must be a string")
        rows, dropped = self._rows(call, body["records"])
        book = self._platform.ads.audiences
        now_ms = call.received_ms
        made = book.create(
            Audience(
                audience_id=str(643_000_000_000 + len(book.audiences) + 1),
                account=_lists(account),
                name=body["name"],
                description="",
                created_ms=now_ms,
                changed_ms=now_ms,
            )
        )
        book.add(made, rows)
        return self._listed(call, made, rows, dropped, "add")

    def _update_list(self, call: Call, account: Account) -> Reply:
        audience = self._list(call, account)
        needed = ("operation_type", "records")
        body = self._object(call, frozenset(needed), *needed)
        if body["operation_type"] not in ("ADD", "REMOVE"):
            raise invalid_request(f"'{body['operation_type']}' is not one of ['ADD', 'REMOVE']")
        rows, dropped = self._rows(call, body["records"])
        what = str(body["operation_type"]).lower()
        if what == "add":
            self._platform.ads.audiences.add(audience, rows)
        else:
            self._platform.ads.audiences.remove(audience, rows)
        return self._listed(call, audience, rows, dropped, what)

    def _rows(self, call: Call, records: Any) -> tuple[list[dict[str, str]], list[str]]:
        """Rows of the records, and everything that was named. Plain addresses are hashed here, as Pinterest does."""
        if not isinstance(records, str):
            raise invalid_request("'records' must be a string")
        named = [one.strip() for one in records.split(",") if one.strip()]
        if not named:
            raise invalid_request("'records' has no record")
        effects = call.effects
        rows = []
        for one in named:
            known = HASHES.fullmatch(one) or EMAIL.fullmatch(one)
            if not known or effects.is_silent(one) or effects.refusal_of(one, in_answer=False):
                continue
            rows.append({"EMAIL": _hashed(one)})
        return rows, named

    def _listed(
        self, call: Call, audience: Audience, rows: list[dict[str, str]], named: list[str], what: str
    ) -> Reply:
        return Reply(
            200,
            self._shown_list(call, audience),
            item_ids=named,
            operations={what: len(named)},
            accepted_count=len(rows),
        )

    def _list_lists(self, call: Call, account: Account) -> Reply:
        self._own(call, account)
        everyone = self._platform.ads.audiences.of(_lists(account))
        return _page(call, [self._shown_list(call, one) for one in everyone])

    def _read_list(self, call: Call, account: Account) -> Reply:
        return Reply(200, self._shown_list(call, self._list(call, account)))

    def _list(self, call: Call, account: Account) -> Audience:
        found = self._platform.ads.audiences.find(self._own(call, account), account=_lists(account))
        if found is not None and call.effects.forgets:
            found.deleted = True
            found = None
        if found is None:
            raise NAMED["audience_missing"]
        return found

    def _shown_list(self, call: Call, audience: Audience) -> dict[str, Any]:
        book = self._platform.ads.audiences
        people = book.shown(audience, match_share=call.effects.match_share)
        status = "PROCESSING"
        if book.is_settled(audience):
            status = "TOO_SMALL" if people < PEOPLE_MIN else "READY"
        return {
            "ad_account_id": audience.account.partition("/")[0],
            "created_time": audience.created_ms // 1000,
            "id": audience.audience_id,
            "name": audience.name,
            "num_batches": audience.batches,
            "num_removed_user_records": audience.removed,
            "num_uploaded_user_records": audience.uploaded,
            "status": status,
            "type": "customerlist",
            "updated_time": audience.changed_ms // 1000,
            "exceptions": {},
        }

    def _create_audience(self, call: Call, account: Account) -> Reply:
        self._own(call, account)
        allowed = frozenset({"ad_account_id", "audience_type", "name", "rule", "description"})
        body = self._object(call, allowed, "audience_type", "name", "rule")
        if body["audience_type"] not in AUDIENCE_TYPES:
            raise invalid_request(f"'{body['audience_type']}' is not one of the audience types")
        if body["audience_type"] != "CUSTOMER_LIST" or not isinstance(body["rule"], dict):
            raise invalid_request("only audiences of customer lists are played here")
        list_id = body["rule"].get("customer_list_id")
        book = self._platform.ads.audiences
        if not isinstance(list_id, str) or book.find(list_id, account=_lists(account)) is None:
            raise ApiError(400, 1, "Customer list not found.")
        now_ms = call.received_ms
        made = book.create(
            Audience(
                audience_id=str(2_542_000_000_000 + len(book.audiences) + 1),
                account=account.external_ids["ad_account_id"],
                name=str(body["name"]),
                description=str(body.get("description") or ""),
                created_ms=now_ms,
                changed_ms=now_ms,
                extra={"customer_list_id": list_id},
            )
        )
        return Reply(200, self._shown_audience(call, made))

    def _list_audiences(self, call: Call, account: Account) -> Reply:
        self._own(call, account)
        everyone = self._platform.ads.audiences.of(account.external_ids["ad_account_id"])
        return _page(call, [self._shown_audience(call, one) for one in everyone])

    def _read_audience(self, call: Call, account: Account) -> Reply:
        return Reply(200, self._shown_audience(call, self._audience(call, account)))

    def _update_audience(self, call: Call, account: Account) -> Reply:
        audience = self._audience(call, account)
        allowed = frozenset({"ad_account_id", "name", "rule", "description", "operation_type"})
        body = self._object(call, allowed)
        if body.get("operation_type", "UPDATE") == "REMOVE":
            audience.deleted = True
        audience.name = str(body.get("name", audience.name))
        audience.description = str(body.get("description", audience.description))
        self._platform.ads.audiences.note()
        return Reply(200, self._shown_audience(call, audience))

    def _audience(self, call: Call, account: Account) -> Audience:
        own = account.external_ids["ad_account_id"]
        found = self._platform.ads.audiences.find(self._own(call, account), account=own)
        if found is not None and call.effects.forgets:
            found.deleted = True
            found = None
        if found is None:
            raise NAMED["audience_missing"]
        return found

    def _shown_audience(self, call: Call, audience: Audience) -> dict[str, Any]:
        book = self._platform.ads.audiences
        behind = book.audiences.get(audience.extra["customer_list_id"])
        people, settled, changed_ms = 0, True, audience.created_ms
        if behind is not None:
            people = book.shown(behind, match_share=call.effects.match_share)
            settled, changed_ms = book.is_settled(behind), behind.changed_ms
        status = "INITIALIZING"
        if settled or people:
            status = "TOO_SMALL" if people < PEOPLE_MIN else "READY"
        return {
            "ad_account_id": audience.account,
            "id": audience.audience_id,
            "name": audience.name,
            "audience_type": "CUSTOMER_LIST",
            "description": audience.description,
            "rule": {"customer_list_id": audience.extra["customer_list_id"]},
            "size": people,
            "status": status,
            "type": "audience",
            "created_timestamp": audience.created_ms // 1000,
            "updated_timestamp": changed_ms // 1000,
            "created_by_company_name": None,
        }

    def _events(self, call: Call, account: Account) -> Reply:
        self._own(call, account)
        test = call.query.get("test", "false")
        if test not in ("true", "false"):
            raise ApiError(400, 1, f"Parameter 'test' was not boolean (was {test})")
        events = check_envelope(self._body_of(call))
        effects = call.effects
        ids = [str(event.get("event_id", "")) for event in events]
        answers: list[dict[str, Any]] = []
        kept: list[dict[str, Any]] = []
        for event, event_id in zip(events, ids, strict=True):
            if effects.is_silent(event_id):
                continue
            refusal = effects.refusal_of(event_id, in_answer=False)
            wrong = refusal.message if refusal else self._wrong(event, now_ms=call.received_ms)
            answers.append(
                {"status": "failed", "error_message": wrong, "warning_message": None}
                if wrong
                else {"status": "processed", "error_message": None, "warning_message": None}
            )
            if not wrong:
                tag_id = account.external_ids["tag_id"]
                kept.append(kept_event(event, tag_id, "test" if test == "true" else ""))
        self._platform.ads.conversions.take(kept, no_match=effects.match_share is not None)
        body = {"num_events_received": len(events), "num_events_processed": len(kept), "events": answers}
        if answers and not kept:
            # "Not all events were successfully processed": when it comes instead of 200 is unverified.
            reply = ApiError(
                422, 1, "Not all events were successfully processed.", extra={"details": body}
            ).reply()
        else:
            reply = Reply(200, body)
        reply.item_ids, reply.operations, reply.accepted_count = ids, {"event": len(events)}, len(kept)
        return reply

    def _wrong(self, event: dict[str, Any], *, now_ms: int) -> str:
        """What only this event is refused for, "" where nothing."""
        age_s = now_ms // 1000 - event["event_time"]
        days = self._platform.settings.pinterest_event_days_max
        if age_s > days * 86_400:
            return f"event_time is more than {days} days in the past"
        if age_s < -3_600:
            return "event_time lies in the future"
        return wrong_words(event)

    def _quality(self, call: Call, account: Account) -> Reply:
        """Shares per event over the lookback period, shown late like all figures."""
        self._own(call, account)
        period = call.query.get("lookback_period", "")
        if period not in LOOKBACK_MS:
            raise ApiError(400, 1, f"'lookback_period' value '{period}' is not one of ['1d', '14d']")
        counts = per_day(
            self._platform.ads.conversions.counts(
                account.external_ids["tag_id"],
                late=True,
                since_ms=call.received_ms - LOOKBACK_MS[period],
            )
        )
        names: dict[str, list[int]] = {}
        for (_, name), one in counts.items():
            server = names.setdefault(name, [0, 0, 0])
            for at, part in enumerate((one.server, one.merged, one.with_email)):
                server[at] += part
        parts: dict[str, dict[str, Any]] = {"external_event_id": {}, "hashed_email": {}}
        for name, (server_count, merged, with_email) in names.items():
            everyone = max(1, server_count)
            parts["external_event_id"][name] = {
                "coverage": 100.0,
                "overlap": min(100.0, round(100 * merged / everyone, 1)),
            }
            parts["hashed_email"][name] = {"coverage": min(100.0, round(100 * with_email / everyone, 1))}
        if not names:
            return Reply(200, [])
        score = {
            "overall_status": "GOOD",
            "quality_components": parts,
            "ingestion_source": call.query.get("ingestion_source", "CONVERSIONS_API"),
            "source_platform": call.query.get("source_platform", "WEB"),
            "lookback_period": period,
        }
        return Reply(200, [score])


def _lists(account: Account) -> str:
    """Whose customer lists: kept apart from the audiences of the same ad account."""
    return f"{account.external_ids['ad_account_id']}/lists"


def _hashed(record: str) -> str:
    return sha256(record.encode()).hexdigest() if "@" in record else record


def _page(call: Call, rows: list[dict[str, Any]]) -> Reply:
    size = call.query.get("page_size", str(PAGE_DEFAULT))
    if not size.isdecimal() or not 1 <= int(size) <= PAGE_MAX:
        raise ApiError(400, 1, f"Parameter 'page_size' was not numeric (was {size})")
    start = call.query.get("bookmark", "0")
    if not start.isdecimal():
        raise ApiError(400, 1, "Invalid bookmark")
    end = int(start) + int(size)
    return Reply(200, {"items": rows[int(start) : end], "bookmark": str(end) if end < len(rows) else None})
