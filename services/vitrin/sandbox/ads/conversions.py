"""Events that a network was told of, by browsers and by servers: what it merged, whom it knew, what it counts."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from vitrin.sandbox.ads.matching import Matching
from vitrin.sandbox.changes import Changes

BROWSER, SERVER = "browser", "server"
DAY_MS = 86_400_000


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event. ``keys``: the hashes and ids that it could be matched by; ``merged_into``: the number of the event
    that it is a repeat of; ``test`` ones count nowhere."""

    number: int
    source_id: str
    way: str
    name: str
    event_id: str
    event_ms: int
    received_ms: int
    order_id: str = ""
    value: str = ""
    currency: str = ""
    action_source: str = ""
    keys: list[str] = []
    has_email: bool = False
    matched: bool = False
    merged_into: int | None = None
    test: str = ""
    body: dict[str, Any] = {}

    def shown(self) -> dict[str, Any]:
        """The shape of ``GET /_sandbox/conversions``."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


class Counts(msgspec.Struct):
    """Of one event name on one day."""

    received: int = 0
    browser: int = 0
    server: int = 0
    matched: int = 0
    merged: int = 0
    with_email: int = 0


class ConversionBook:
    """The events of one network. ``dedupe_ms``: how long a repeat of name and event id is recognised; with
    ``by_order`` a purchase of the same order is one too."""

    def __init__(
        self,
        *,
        matching: Matching,
        changes: Changes,
        kept_max: int,
        latency_ms: int,
        dedupe_ms: int,
        by_order: frozenset[str],
        undeduped_sources: frozenset[str],
        now_ms: Callable[[], int],
    ) -> None:
        self.events: OrderedDict[int, Event] = OrderedDict()
        self.totals: Counter[tuple[str, str]] = Counter()
        """Per pixel or tag and event name: what was counted once, since the start or a reset."""
        self._matching = matching
        self._changes = changes
        self._kept_max = kept_max
        self._latency_ms = latency_ms
        self._dedupe_ms = dedupe_ms
        self._by_order = by_order
        self._undeduped = undeduped_sources
        self._now_ms = now_ms
        self._first: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._next = 1

    def take(self, events: Iterable[dict[str, Any]], *, no_match: bool = False) -> list[Event]:
        """Keep events, in their order; each is given as the fields of ``Event`` that the network reads."""
        taken = [self._take(fields, no_match=no_match) for fields in events]
        self._changes.note()
        return taken

    def _take(self, fields: dict[str, Any], *, no_match: bool) -> Event:
        event = Event(number=self._next, received_ms=self._now_ms(), **fields)
        self._next += 1
        into = None if event.test else self._merged_into(event)
        matched = not no_match and self._matching.knows(event.keys)
        event = msgspec.structs.replace(event, merged_into=into, matched=matched)
        self._keep(event)
        return event

    def _merged_into(self, event: Event) -> int | None:
        names = self._names(event)
        for name in names:
            number, at_ms = self._first.get(name, (0, 0))
            if number and event.received_ms - at_ms <= self._dedupe_ms:
                return number
        return None

    def _names(self, event: Event) -> list[tuple[str, str, str]]:
        if event.action_source in self._undeduped:
            return []
        found = []
        if event.event_id:
            found.append((event.source_id, event.name, f"event {event.event_id}"))
        if event.order_id and event.name in self._by_order:
            found.append((event.source_id, event.name, f"order {event.order_id}"))
        return found

    def _keep(self, event: Event) -> None:
        self.events[event.number] = event
        if event.merged_into is None and not event.test:
            self.totals[event.source_id, event.name] += 1
            for name in self._names(event):
                self._first[name] = (event.number, event.received_ms)
        while len(self.events) > self._kept_max:
            _, oldest = self.events.popitem(last=False)
            for name in self._names(oldest):
                if self._first.get(name, (0, 0))[0] == oldest.number:
                    del self._first[name]

    def restore(self, event: Event) -> None:
        """Take one back as it was, in the order of numbers."""
        self._keep(event)
        self._next = max(self._next, event.number + 1)

    def counts(
        self, source_id: str, *, late: bool, since_ms: int = 0, until_ms: int | None = None
    ) -> dict[tuple[int, str], Counts]:
        """Per hour (its start, of the event's time) and name; ``late`` leaves out what is not shown yet."""
        known_ms = self._now_ms() - (self._latency_ms if late else 0)
        found: dict[tuple[int, str], Counts] = {}
        for event in self.events.values():
            in_time = since_ms <= event.event_ms and (until_ms is None or event.event_ms < until_ms)
            if event.source_id != source_id or event.test or event.received_ms > known_ms or not in_time:
                continue
            one = found.setdefault((event.event_ms // 3_600_000 * 3_600_000, event.name), Counts())
            one.received += 1
            one.browser += event.way == BROWSER
            one.server += event.way == SERVER
            one.matched += event.matched
            one.merged += event.merged_into is not None
            one.with_email += event.has_email
        return found

    def list(self, *, since: int, limit: int) -> Sequence[Event]:
        """Events numbered above ``since``."""
        return [event for number, event in self.events.items() if number > since][:limit]

    def clear(self) -> None:
        """Forget everything; numbers go on."""
        self.events.clear()
        self.totals.clear()
        self._first.clear()


def per_day(hours: dict[tuple[int, str], Counts]) -> dict[tuple[int, str], Counts]:
    """The counts of hours added up to days (their start in UTC)."""
    days: dict[tuple[int, str], Counts] = {}
    for (hour_ms, name), counts in hours.items():
        day = days.setdefault((hour_ms // DAY_MS * DAY_MS, name), Counts())
        for part in ("received", "browser", "server", "matched", "merged", "with_email"):
            setattr(day, part, getattr(day, part) + getattr(counts, part))
    return days
