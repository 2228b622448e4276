"""The scene with shoppers: a few events from the shop's server, accepted, and in the database a moment later."""

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from vitrin.cli.client import ServiceClient
from vitrin.cli.failures import CliFailure
from vitrin.cli.output import Output

ARRIVAL_S = 30.0
POLL_S = 0.02
COLUMNS = {
    "name": "shoppers",
    "events": "events",
    "accepted_ms": "durable after ms",
    "stored_ms": "stored after ms",
    "known_items": "items that the catalog knows",
}


def show_shoppers(
    output: Output, retargeting: ServiceClient, item_ids: Sequence[str]
) -> list[dict[str, object]]:
    """One row per thing that shoppers did. Raises CliFailure where an event is refused or does not arrive."""
    if not item_ids:
        return []
    walk = uuid4().hex[:12]
    rows = []
    for name, visitors in (("view_item", 5), ("add_to_cart", 2), ("purchase", 1)):
        events: list[dict[str, Any]] = [
            {
                "event_id": f"demo-{walk}-{name}-{number}",
                "name": name,
                "visitor_id": f"demo-{walk}-{number}",
                "items": [{"item_id": item_ids[number % len(item_ids)], "quantity": 1}],
                "consent": {"ads": "granted", "analytics": "granted"},
                **({"order_id": f"demo-{walk}"} if name == "purchase" else {}),
            }
            for number in range(visitors)
        ]
        rows.append(_row(retargeting, name, events))
    output.table(rows, columns=COLUMNS, title="shoppers in the demo shop")
    return rows


def _row(retargeting: ServiceClient, name: str, events: Sequence[dict[str, Any]]) -> dict[str, object]:
    began = time.monotonic()
    answer = retargeting.post("/v1/events", {"events": events})
    accepted = time.monotonic()
    if answer["accepted"] != len(events):
        raise CliFailure(f"of {len(events)} events {answer['refused']} were refused", code="events_refused")
    stored = [_stored(retargeting, str(one["event_id"]), began) for one in events]
    known = sum(not item["unknown"] for event, _ in stored for item in event["items"])
    return {
        "name": name,
        "events": len(events),
        "accepted_ms": round((accepted - began) * 1000),
        "stored_ms": round(max(at for _, at in stored) * 1000),
        "known_items": f"{known} of {len(events)}",
    }


def _stored(retargeting: ServiceClient, event_id: str, began: float) -> tuple[dict[str, Any], float]:
    while time.monotonic() - began < ARRIVAL_S:
        found = retargeting.get("/v1/events", {"event_id": event_id, "limit": 1})["data"]
        if found:
            return found[0], time.monotonic() - began
        time.sleep(POLL_S)
    raise CliFailure(
        f"event {event_id} was accepted and is not stored after {ARRIVAL_S:.0f} s", code="too_slow"
    )
