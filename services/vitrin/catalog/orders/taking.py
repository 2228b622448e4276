"""Orders and refunds of the shops on their way into the catalog.

Each kind of news has two halves. `prepare` runs before the transaction and seals the personal fields, for which
accounts may be asked. The handler runs in the transaction with the mark on the delivery.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from vitrin.catalog.orders import domain, messages, metrics, people, repository
from vitrin.catalog.orders.domain import Change, Order
from vitrin.catalog.service_places import Place
from vitrin.catalog.shop.values import Applied, Shop
from vitrin.events import topics
from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.kit.seal import Erased, Sealer, SealUnavailable, pack, unpack
from vitrin.platforms.shop import News, ShopOrder
from vitrin.protos.kit.v1.seal_pb2 import Sealed

CONTEXT: Final = topics.ORDER
"""Where the sealed person of an order stands: the event and the row hold the same bytes."""
REST: Final = timedelta(seconds=5)
"""So long accounts is not asked again after it did not answer: its deadline would hold up the shop's products."""
TIMELINE_MAX: Final = 200
"""Entries of one order; more than that, and those after the first hundred go first."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """`person`: sealed; None where there is nobody, or they were erased."""

    person: Sealed | None = None


class OrderTaking:
    def __init__(self, *, sealer: Sealer, clock: Clock) -> None:
        self._sealer = sealer
        self._clock = clock
        self._rests_until: datetime | None = None

    async def prepare(self, shop: Shop, order: ShopOrder) -> Prepared:
        """SealUnavailable, SealRefused."""
        fields = messages.personal(order)
        if not fields:
            return Prepared()
        if self._rests_until is not None and self._clock() < self._rests_until:
            raise SealUnavailable("Accounts did not answer a moment ago.")
        whose = people.buyer(shop, order.person.customer_id, order.order_id)
        try:
            sealed = await self._sealer.seal(
                shop.brand, whose, fields, context=CONTEXT, happened_at=order.created_at
            )
        except SealUnavailable:
            self._rests_until = self._clock() + REST
            raise
        return Prepared(None if isinstance(sealed, Erased) else sealed)

    async def order(
        self,
        tx: WriteSession,
        shop: Shop,
        news: News,
        *,
        place: Place,
        received_at: datetime,
        prepared: object,
    ) -> Applied:
        assert news.order is not None
        assert isinstance(prepared, Prepared)
        seen = messages.order_of(news.order)
        row = await repository.lock(tx, shop.brand, shop.connection_id, seen.order_id, now=self._clock())
        known = messages.order_from(row.document) if row.version else None
        parked = [
            messages.refund_stored(one)
            for one in await repository.parked_refunds(tx, shop.brand, shop.connection_id, seen.order_id)
        ]
        change = domain.take(known, seen, refunds=parked)
        older = known is not None and change.order.updated_at > seen.updated_at
        person = _kept(row.person) if older else prepared.person
        return await self._save(tx, shop, change, row=row, person=person, received_at=received_at)

    async def refund(
        self,
        tx: WriteSession,
        shop: Shop,
        news: News,
        *,
        place: Place,
        received_at: datetime,
        prepared: object,
    ) -> Applied:
        """Of an order that is not known yet: parked until it is, 30 days at most."""
        assert news.refund is not None
        refund = messages.refund_of(news.refund)
        order_id = news.refund.order_id
        row = await repository.lock(tx, shop.brand, shop.connection_id, order_id, now=self._clock())
        if not row.version:
            await repository.drop(tx, shop.brand, shop.connection_id, [order_id])
            await repository.park_refund(
                tx,
                shop.brand,
                shop.connection_id,
                refund_id=refund.refund_id,
                order_id=order_id,
                document=messages.stored(messages.refund_message(refund)),
                now=self._clock(),
            )
            return Applied(parked=1)
        known = messages.order_from(row.document)
        change = domain.refund(known, [refund])
        return await self._save(tx, shop, change, row=row, person=_kept(row.person), received_at=received_at)

    async def _save(
        self,
        tx: WriteSession,
        shop: Shop,
        change: Change,
        *,
        row: Any,
        person: Sealed | None,
        received_at: datetime,
    ) -> Applied:
        if not change.news and not change.moved:
            return Applied(stale=change.stale, unchanged=0 if change.stale else 1)
        items = await repository.items_of(
            tx, shop.brand, shop.connection_id, messages.variants_of(change.order)
        )
        order = domain.bound(change.order, items)
        await write(
            tx,
            shop,
            order,
            row=row,
            person=person,
            news=change.news,
            received_at=received_at,
            clock=self._clock,
        )
        if not change.news:
            return Applied(unchanged=1)
        tx.after_commit(lambda: _count(shop.spec.name, order, change.news))
        created = "created" in change.news
        return Applied(created=int(created), updated=int(not created))


async def write(
    tx: WriteSession,
    shop: Shop,
    order: Order,
    *,
    row: Any,
    person: Sealed | None,
    news: Sequence[str],
    received_at: datetime,
    clock: Clock,
) -> None:
    """The row, and with news its next version as an event. `row`: as it was locked."""
    version = row.version + 1 if news else row.version
    message = messages.message_of(
        order, connection_id=str(shop.connection_id), platform=shop.spec.name, version=version
    )
    await repository.save(
        tx,
        shop.brand,
        shop.connection_id,
        {
            "order_id": order.order_id,
            "version": version,
            "state": order.state,
            "test": order.test,
            "created_at": order.created_at,
            "updated_at": order.updated_at,
            "changed_at": clock(),
            "document": messages.stored(message),
            "timeline": _timeline(row.timeline, order, version, news, received_at),
            "person": None if person is None else pack(person),
        },
    )
    if news:
        tx.publish(messages.event_of(shop, message, news=news, person=person, received_at=received_at))


def _timeline(
    before: Sequence[Mapping[str, Any]],
    order: Order,
    version: int,
    news: Sequence[str],
    received_at: datetime,
) -> list[Mapping[str, Any]]:
    """Each version: what was new in it, by the shop's clock and by ours."""
    if not news:
        return list(before)
    at = received_at if "erased" in news else order.updated_at
    entry = {
        "version": version,
        "news": list(news),
        "at": at.isoformat(),
        "received_at": received_at.isoformat(),
    }
    whole = [*before, entry]
    half = TIMELINE_MAX // 2
    return whole if len(whole) <= TIMELINE_MAX else [*whole[:half], *whole[-half:]]


def _count(platform: str, order: Order, news: Sequence[str]) -> None:
    for one in news:
        metrics.ORDERS.labels(platform, one).inc()
    if "created" in news:
        known = sum(1 for line in order.lines if line.item_id)
        metrics.LINES.labels(platform, "bound").inc(known)
        metrics.LINES.labels(platform, "unknown").inc(len(order.lines) - known)


def _kept(packed: bytes | None) -> Sealed | None:
    return None if packed is None else unpack(packed)
