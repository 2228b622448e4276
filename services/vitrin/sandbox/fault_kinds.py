"""The kinds of misbehaviour: what each does, where it applies, and which fields it takes.

``GET /_sandbox/faults/kinds`` shows this table, and a fault with a field that its kind does not take is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """What goes wrong."""

    REFUSE = "refuse"
    THROTTLE = "throttle"
    OUTAGE = "outage"
    REFUSE_ITEMS = "refuse_items"
    REFUSE_BATCH = "refuse_batch"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    HANG = "hang"
    RESET = "reset"
    TRUNCATE = "truncate"
    GARBAGE = "garbage"
    HALF_BATCH = "half_batch"
    LOSE_HANDLE = "lose_handle"
    STUCK_BATCH = "stuck_batch"
    FAIL_BATCH = "fail_batch"
    DRIFT = "drift"
    STALE_READS = "stale_reads"
    FORGET_AUDIENCE = "forget_audience"
    NO_MATCH = "no_match"
    SLOW = "slow"


class Stage(StrEnum):
    """When a fault acts: it delays, it answers instead of the platform, it changes the work, or the answer."""

    DELAY = "delay"
    INSTEAD = "instead"
    WORK = "work"
    ANSWER = "answer"


SEND, POLL, READ, OTHER = "send", "poll", "read", "other"
AUDIENCE, EVENTS = "audience", "events"
ENDPOINTS = {
    SEND: "writes of items: Meta POST /{catalog}/items_batch, Pinterest POST /v5/catalogs/items/batch",
    POLL: "a batch's status: Meta check_batch_request_status, Pinterest GET /v5/catalogs/items/batch/{id}",
    READ: "read-back of items: Meta GET /{catalog}/products, products of a set and item nodes, "
    "Pinterest POST /v5/catalogs/items",
    AUDIENCE: "members and sizes of audiences: Meta /{audience}, /users, /usersreplace; Pinterest customer_lists and "
    "audiences with an id",
    EVENTS: "conversion events of servers: Meta POST /{pixel}/events, Pinterest POST /ad_accounts/{id}/events",
    OTHER: "everything else",
}

SELECTORS = {
    "platform": "meta or pinterest; without it all",
    "account": "any external id of the account (business, ad account, user), one of its catalog ids, or its name",
    "endpoint": "send, poll, read, audience, events or other",
    "method": "HTTP method",
    "path": "regular expression, searched in the path",
    "item_ids": "the items at fault; a kind about whole calls then meets only calls that name one of them",
    "item_share": "instead of item_ids: the share of all items at fault (0 to 1), chosen by seed and item id",
    "probability": "chance per request (default 1), repeatable with seed",
    "seed": "of probability, item_share, jitter and changes (default 0)",
    "skip": "how many matching requests go well first (default 0)",
    "count": "how many requests it meets; null for all until it is cleared or over",
    "after_ms": "begins so long after it was added (default 0)",
    "duration_ms": "ends so long after it began; null for never",
    "delay_ms": "waits before anything else (default 0)",
}


@dataclass(frozen=True, slots=True)
class KindDoc:
    """One kind. ``fields`` are its own, beside the selectors; ``needs_items``: culprits must be named or shared out."""

    stage: Stage
    summary: str
    example: Mapping[str, Any]
    fields: Mapping[str, str] = field(default_factory=dict)
    endpoints: frozenset[str] | None = None
    count: int | None = 1
    needs_items: bool = False
    works: bool = True


HOLD = "milliseconds until the connection is closed (default 30000); sooner when the client goes"
WRITES, READS = frozenset({SEND}), frozenset({READ})
RECORDS = WRITES | {AUDIENCE, EVENTS}
"""Writes of records: items, members (their EXTERN_ID, else their first hash) and events (their event id)."""
ITEM_WORDS = {
    "message": "the words (default: that the item was refused on command)",
    "code": "Pinterest's code (default 9990)",
    "attribute": "Pinterest's attribute (default item_id)",
}

KINDS: dict[FaultKind, KindDoc] = {
    FaultKind.REFUSE: KindDoc(
        Stage.INSTEAD,
        "Refuses the whole call with one of the platform's errors or any status and body; nothing is done.",
        {"kind": "refuse", "platform": "meta", "endpoint": "send", "error": "transient", "count": 2},
        {
            "error": "an error of the platform by its name (see errors); or",
            "status": "HTTP status from 200 to 599; with error it overrides the error's own (200: an error under 200)",
            "body": "with status and without error: the answer's body, any JSON",
        },
    ),
    FaultKind.THROTTLE: KindDoc(
        Stage.INSTEAD,
        "Refuses the call as the platform throttles: Meta 400 with its code and usage headers at 100 %, Pinterest 429.",
        {"kind": "throttle", "platform": "meta", "code": 80014, "regain_s": 60, "count": 3},
        {
            "code": "the platform's throttle code (see throttle_codes; default: that of the endpoint)",
            "status": "overrides the HTTP status, such as 200 or 429",
            "regain_s": "seconds until calls are taken again, as headers say it (default 60; Meta: whole minutes)",
        },
    ),
    FaultKind.OUTAGE: KindDoc(
        Stage.INSTEAD,
        "Everything selected is down: 503 in the platform's dialect, or closed connections. Give duration_ms.",
        {"kind": "outage", "platform": "meta", "endpoint": "read", "duration_ms": 60000},
        {"drop": "true closes the connection at once instead of answering 503 (default false)"},
        count=None,
    ),
    FaultKind.REFUSE_ITEMS: KindDoc(
        Stage.WORK,
        "Refuses the culprits one by one and takes the other items: named in the batch's result, or (Meta) at once.",
        {
            "kind": "refuse_items",
            "platform": "meta",
            "item_ids": ["sku-1"],
            "message": "Image is not allowed",
        },
        ITEM_WORDS
        | {"at": "result (default) or answer: Meta's validation_status; Pinterest has only the result"},
        endpoints=RECORDS,
        count=None,
        needs_items=True,
    ),
    FaultKind.REFUSE_BATCH: KindDoc(
        Stage.INSTEAD,
        "Refuses every call that holds a culprit, whole and without naming it: Meta 200 with empty handles and no "
        "validation_status, Pinterest 400 with code 1.",
        {"kind": "refuse_batch", "platform": "pinterest", "item_share": 0.01, "seed": 7},
        {"error": "an error of the platform instead, such as Meta's invalid (code 100)"},
        endpoints=RECORDS,
        count=None,
        needs_items=True,
    ),
    FaultKind.TIMEOUT_BEFORE: KindDoc(
        Stage.INSTEAD,
        "Does nothing, holds the connection and closes it without an answer.",
        {"kind": "timeout_before", "platform": "meta", "endpoint": "send", "hold_ms": 0},
        {"hold_ms": HOLD},
        works=False,
    ),
    FaultKind.TIMEOUT_AFTER: KindDoc(
        Stage.ANSWER,
        "Does the work, holds the connection and closes it without an answer.",
        {"kind": "timeout_after", "platform": "meta", "endpoint": "send", "hold_ms": 0},
        {"hold_ms": HOLD},
    ),
    FaultKind.HANG: KindDoc(
        Stage.INSTEAD,
        "Never answers; ends when the client gives up.",
        {"kind": "hang", "platform": "pinterest", "works": True},
        {
            "works": "whether the work is done first (default false)",
            "hold_ms": "milliseconds after which the connection is closed anyway (default 600000)",
        },
        works=False,
    ),
    FaultKind.RESET: KindDoc(
        Stage.ANSWER,
        "Does the work, sends the headers and half of the body, then resets the connection (RST).",
        {"kind": "reset", "platform": "meta", "endpoint": "send"},
    ),
    FaultKind.TRUNCATE: KindDoc(
        Stage.ANSWER,
        "Does the work and sends a whole HTTP answer whose JSON is cut off in the middle.",
        {"kind": "truncate", "platform": "meta", "endpoint": "poll"},
    ),
    FaultKind.GARBAGE: KindDoc(
        Stage.ANSWER,
        "Does the work and answers with something that is not the platform's: the HTML page of a proxy.",
        {"kind": "garbage", "platform": "meta", "status": 502},
        {
            "status": "HTTP status (default 200)",
            "body": "a string to send instead of the page",
            "content_type": "default text/html; charset=utf-8",
        },
    ),
    FaultKind.HALF_BATCH: KindDoc(
        Stage.WORK,
        "Carries out a part of the batch and is silent about the rest: no error names it (Meta), no record has it "
        "(Pinterest). The lost ones are item_ids or item_share (default 0.5).",
        {"kind": "half_batch", "platform": "pinterest", "item_share": 0.5, "seed": 1},
        {"works": "whether the items without a verdict are carried out (default false)"},
        endpoints=RECORDS,
        works=False,
    ),
    FaultKind.LOSE_HANDLE: KindDoc(
        Stage.WORK,
        "Accepts the batch and forgets its handle: polls say that there is none (Meta 100, Pinterest 404 with 4331).",
        {"kind": "lose_handle", "platform": "meta"},
        {"works": "whether the items are carried out (default true)"},
        endpoints=WRITES,
    ),
    FaultKind.STUCK_BATCH: KindDoc(
        Stage.WORK,
        "The batch never finishes, however often it is polled.",
        {"kind": "stuck_batch", "platform": "meta", "stuck_ms": 5000, "works": False},
        {
            "stuck_ms": "milliseconds after which it finishes after all; null (default) for never",
            "works": "whether the items are carried out (default true)",
        },
        endpoints=WRITES,
    ),
    FaultKind.FAIL_BATCH: KindDoc(
        Stage.WORK,
        "The batch ends with an error as a whole and changes nothing: Meta's status error, Pinterest's FAILED.",
        {"kind": "fail_batch", "platform": "meta", "final_status": "canceled"},
        {"final_status": "Meta: error (default) or canceled; Pinterest has only FAILED"},
        endpoints=WRITES,
    ),
    FaultKind.DRIFT: KindDoc(
        Stage.WORK,
        "After the items were accepted and carried out, the chosen ones change by themselves and nobody is told.",
        {"kind": "drift", "platform": "meta", "item_share": 0.02, "seed": 3, "changes": ["price", "delete"]},
        {
            "changes": "list of price (one unit more), availability (in stock and out of stock change places), delete; "
            "seed chooses one per item (default price)",
            "drift_ms": "milliseconds after the items were carried out (default 0)",
        },
        endpoints=WRITES,
        count=None,
        needs_items=True,
    ),
    FaultKind.STALE_READS: KindDoc(
        Stage.WORK,
        "Read-back shows the state of stale_ms ago, as far back as this fault was added.",
        {"kind": "stale_reads", "platform": "meta", "stale_ms": 5000, "duration_ms": 60000},
        {"stale_ms": "age of what is shown, in milliseconds (default 5000)"},
        endpoints=READS,
        count=None,
    ),
    FaultKind.FORGET_AUDIENCE: KindDoc(
        Stage.WORK,
        "The audience is lost before the call is looked at: for this call and all later ones it is not there.",
        {"kind": "forget_audience", "platform": "meta"},
        endpoints=frozenset({AUDIENCE}),
    ),
    FaultKind.NO_MATCH: KindDoc(
        Stage.WORK,
        "The network pretends to know only match_share of the rows of an audience, and nobody of new events.",
        {"kind": "no_match", "platform": "meta", "match_share": 0},
        {"match_share": "share of the rows that a size shows (default 0)"},
        endpoints=frozenset({AUDIENCE, EVENTS}),
        count=None,
    ),
    FaultKind.SLOW: KindDoc(
        Stage.DELAY,
        "Answers right but late: delay_ms plus a random part.",
        {"kind": "slow", "platform": "meta", "delay_ms": 200, "jitter_ms": 800, "count": None},
        {"jitter_ms": "largest random addition in milliseconds (default 0)"},
    ),
}
