"""The one write path: single items, batches, offers and imports all end in `write_changes`."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from vitrin.catalog import repository_write as repository
from vitrin.catalog.changes import ABSENT, MAY_CREATE, Change, Decision, Outcome, decide, too_large
from vitrin.catalog.events import events_of
from vitrin.catalog.service_places import Place
from vitrin.events.envelope import RECORD_BYTES_MAX, Event
from vitrin.kit import metrics
from vitrin.kit.db.session import WriteSession

CHANGES_PER_TRANSACTION_MAX: Final = 1_000

ITEMS_WRITTEN = metrics.counter(
    "vitrin_catalog_items_written_total",
    "Changes of items and offers that were committed, by outcome.",
    ("outcome",),
)


async def write_changes(
    tx: WriteSession,
    changes: Sequence[Change],
    *,
    place: Place,
    actor: str,
    received_at: datetime,
    default_currency: str | None = None,
) -> list[Decision]:
    """Decide and save up to `CHANGES_PER_TRANSACTION_MAX` changes of different items; one decision per change, in
    order. State, versions and events are saved together; the events come after the row locks, so that per item the
    outbox has the order of the versions.
    """
    if len(changes) > CHANGES_PER_TRANSACTION_MAX:
        raise ValueError(f"{len(changes)} changes in one transaction")
    ids = sorted({change.item_id for change in changes})
    if len(ids) != len(changes):
        raise ValueError("two changes of one item in one transaction")
    makers = sorted(change.item_id for change in changes if change.verb in MAY_CREATE)
    fresh = frozenset[str]()
    if makers:
        fresh = await repository.insert_placeholders(tx, brand=place.brand, ids=makers, now=received_at)
    stored = await repository.lock_items(tx, brand=place.brand, market=place.market, ids=ids, fresh=fresh)
    decisions = [
        decide(
            change,
            stored.get(change.item_id, ABSENT),
            market_currency=place.currency,
            default_currency=default_currency,
        )
        for change in changes
    ]
    told = partial(events_of, brand=place.brand, market=place.market, actor=actor, received_at=received_at)
    events: list[Event] = []
    for index, decision in enumerate(decisions):
        own = list(told(decision))
        if decision.content is not None and any(event.record_bytes > RECORD_BYTES_MAX for event in own):
            before = stored.get(decision.change.item_id, ABSENT)
            decisions[index] = too_large(
                decision.change, before, decision.content, bytes_max=RECORD_BYTES_MAX
            )
        else:
            events += own
    await _save(tx, decisions, events, fresh=fresh, place=place, received_at=received_at)
    return decisions


async def _save(
    tx: WriteSession,
    decisions: Sequence[Decision],
    events: Sequence[Event],
    *,
    fresh: frozenset[str],
    place: Place,
    received_at: datetime,
) -> None:
    unused = [one.change.item_id for one in decisions if not one.writes and one.change.item_id in fresh]
    if unused:
        await repository.drop_placeholders(tx, brand=place.brand, ids=unused)
    written = [one for one in decisions if one.writes]
    if written:
        await repository.save(
            tx,
            written,
            brand=place.brand,
            market=place.market,
            location=place.location,
            now=received_at,
        )
    for event in events:
        tx.publish(event)
    outcomes = [one.outcome for one in decisions]
    tx.after_commit(lambda: _count(outcomes))


def _count(outcomes: Sequence[Outcome]) -> None:
    for outcome in set(outcomes):
        ITEMS_WRITTEN.labels(outcome).inc(outcomes.count(outcome))
