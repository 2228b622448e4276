"""From envelopes to rows, each event once: orders, refunds and leads by their own id for ever, others by event id."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from vitrin.kit.clock import EPOCH, Clock
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId
from vitrin.protos.retargeting.v1.events_pb2 import StorefrontEvent
from vitrin.retargeting.collector import metrics
from vitrin.retargeting.domain.checking import business_key
from vitrin.retargeting.domain.items import Item
from vitrin.retargeting.repository import events, health, items

_MILLISECOND: Final = timedelta(milliseconds=1)
_json: Final = msgspec.json.Encoder().encode


class Arrived(NamedTuple):
    brand: BrandId
    event: StorefrontEvent


class _Count(NamedTuple):
    brand_id: BrandId
    hour: datetime
    name: str
    source: str
    outcome: str
    code: str


class Storing:
    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def store(self, tx: WriteSession, arrived: Sequence[Arrived]) -> None:
        """In one transaction, which knows the brands of all of them."""
        now = self._clock()
        gone = await events.gone(tx, sorted({one.brand for one in arrived}))
        here = [one for one in arrived if one.brand not in gone]
        metrics.STORED.labels("brand_gone").inc(len(arrived) - len(here))
        fresh = await self._fresh(tx, here, now)
        await _name_items(tx, fresh)
        known = await items.find(tx, sorted({(o.brand, i.item_id) for o in fresh for i in o.event.items}))
        await events.insert(tx, [_row(one, known, now) for one in fresh])
        await self._count(tx, here, fresh, known, now)

    async def _fresh(self, tx: WriteSession, arrived: Sequence[Arrived], now: datetime) -> list[Arrived]:
        """Those that were never stored, the first of each."""
        by_id: dict[tuple[BrandId, str], Arrived] = {}
        by_key: dict[tuple[BrandId, str, str], Arrived] = {}
        for one in arrived:
            key = _key_of(one.event)
            if key:
                by_key.setdefault((one.brand, one.event.name, key), one)
            else:
                by_id.setdefault((one.brand, one.event.event_id), one)
        keyed = [
            (brand, name, key, one.event.event_id, _moment(one.event.occurred_at_ms))
            for (brand, name, key), one in by_key.items()
        ]
        new_keys = await events.new_keys(tx, keyed, now)
        new_ids = await events.new_ids(tx, list(by_id), now)
        fresh = {id(one) for key, one in by_key.items() if key in new_keys}
        fresh |= {id(one) for key, one in by_id.items() if key in new_ids}
        return [one for one in arrived if id(one) in fresh]

    async def _count(
        self,
        tx: WriteSession,
        here: Sequence[Arrived],
        fresh: Sequence[Arrived],
        known: Any,
        now: datetime,
    ) -> None:
        hour = now.replace(minute=0, second=0, microsecond=0)
        stored = Counter(_Count(o.brand, hour, o.event.name, o.event.source, "stored", "") for o in fresh)
        everything = Counter(_Count(o.brand, hour, o.event.name, o.event.source, "stored", "") for o in here)
        repeated = {one._replace(outcome="repeated"): n for one, n in (everything - stored).items()}
        await health.add(tx, {**stored, **repeated}, last_at=now)
        unknown = Counter(
            (one.brand, item.item_id)
            for one in fresh
            for item in one.event.items
            if (one.brand, item.item_id) not in known
        )
        await health.add_unknown(tx, unknown, now)

        def tell() -> None:
            metrics.STORED.labels("stored").inc(len(fresh))
            metrics.STORED.labels("duplicate").inc(len(here) - len(fresh))
            metrics.UNKNOWN_ITEMS.inc(unknown.total())
            for one in fresh:
                metrics.STORE_SECONDS.observe(
                    max(0.0, (now - _moment(one.event.received_at_ms)).total_seconds())
                )

        tx.after_commit(tell)


async def _name_items(tx: WriteSession, fresh: Sequence[Arrived]) -> None:
    """What a shop's page calls by the shop's variant gets our id, where the catalog has it."""
    named = {
        (o.brand, i.item_id) for o in fresh for i in o.event.items if i.item_id.startswith(items.VARIANT)
    }
    ours = await items.of_variants(tx, sorted(named))
    for one in fresh if ours else ():
        for item in one.event.items:
            item.item_id = ours.get((one.brand, item.item_id), item.item_id)


def _key_of(event: StorefrontEvent) -> str:
    ids = {"order_id": event.order_id, "refund_id": event.refund_id, "lead_id": event.lead_id}
    return business_key(ids, event.name)


def _moment(ms: int) -> datetime:
    return EPOCH + ms * _MILLISECOND


def _text(value: object) -> str:
    return _json(value).decode()


def _row(one: Arrived, known: Any, now: datetime) -> dict[str, Any]:
    event = one.event
    occurred_at = _moment(event.occurred_at_ms)
    return {
        "stored_at": now,
        "brand_id": one.brand,
        "event_id": event.event_id,
        "name": event.name,
        "custom_name": event.custom_name,
        "occurred_at": occurred_at,
        "received_at": _moment(event.received_at_ms),
        "visitor_id": event.visitor_id,
        "customer_id": event.customer_id,
        "session_id": event.session_id,
        "source": event.source,
        "test": event.test,
        "url": event.url,
        "referrer": event.referrer,
        "items": _text(_items(one, known, occurred_at)),
        "value_minor": event.value_minor if event.HasField("value_minor") else None,
        "currency": event.currency,
        "order_id": event.order_id,
        "refund_id": event.refund_id,
        "lead_id": event.lead_id,
        "search_term": event.search_term,
        "click_ids": _text(dict(event.click_ids)),
        "utm": _text(dict(event.utm)),
        "consents": _text({each.purpose: each.granted for each in event.consents}),
        "consent_proof": event.consent_proof,
        "gpc": event.gpc,
        "properties": _text(dict(event.properties)),
        "personal": event.personal.SerializeToString() if event.HasField("personal") else None,
        "whose": event.whose,
    }


def _items(one: Arrived, known: Any, occurred_at: datetime) -> list[dict[str, object]]:
    """With the attributes that the catalog has of them now, priced as of the event's own time."""
    found = []
    for item in one.event.items:
        values: dict[str, object] = {"item_id": item.item_id, "quantity": item.quantity}
        if item.HasField("price_minor"):
            values["price_minor"] = item.price_minor
        there: Item | None = known.get((one.brand, item.item_id))
        if there is None:
            values["unknown"] = True
        else:
            values |= there.attributes_at(occurred_at, one.event.currency)
        found.append(values)
    return found
