"""A channel's row as its Routing, and back."""

from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

from vitrin.notify.domain.routing import Routing, Rule


def rules_of(documents: list[dict[str, Any]]) -> tuple[Rule, ...]:
    return tuple(Rule(tuple(one["kinds"]), one["severity_min"]) for one in documents)


def routing_of(row: Any) -> Routing:
    quiet = None
    if row.quiet_from:
        quiet = (time.fromisoformat(row.quiet_from), time.fromisoformat(row.quiet_until))
    return Routing(
        rules=rules_of(row.rules),
        digest=row.digest,
        daily_at=time.fromisoformat(row.digest_at) if row.digest_at else None,
        quiet=quiet,
        zone=ZoneInfo(row.time_zone),
        resolved=row.resolved,
    )
