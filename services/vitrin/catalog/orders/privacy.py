"""What shops ask in the name of their customers: their data, or their erasure.

The keys of whoever is erased are destroyed before the transaction, so that what they sealed opens nowhere, in no topic
and no backup, whatever becomes of the rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from vitrin.catalog.orders import messages, metrics, people, repository, repository_privacy
from vitrin.catalog.orders.attention import PrivacyNotices
from vitrin.catalog.orders.taking import write
from vitrin.catalog.service_places import Place
from vitrin.catalog.shop import repository_shops
from vitrin.catalog.shop.values import Applied, Shop
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.seal import Erased, Receipt, Sealer, pack
from vitrin.platforms.shop import News, NewsKind
from vitrin.protos.kit.v1.seal_pb2 import Sealed

REQUEST_CONTEXT: Final = "privacy_requests"
WHOLE_SHOP: Final = "shop"


@dataclass(frozen=True, slots=True)
class Prepared:
    """`person`: who asked, sealed. `receipts`: of destroyed keys. `installed`: the app is still at the shop, by
    whatever connection of the brand: connections to one shop share the keys of its customers."""

    person: Sealed | None = None
    receipts: Sequence[Receipt] = field(default=())
    installed: bool = False


class PrivacyTaking:
    def __init__(self, *, database: WorkerDatabase, sealer: Sealer, clock: Clock) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._notices = PrivacyNotices(clock)

    async def prepare(self, shop: Shop, news: News) -> Prepared:
        """SealUnavailable, SealRefused."""
        if news.kind is NewsKind.SHOP_ERASE:
            name = shop.spec.required_external_ids[0]
            async with self._database.read([shop.brand]) as tx:
                connected = await repository_shops.connected_to(
                    tx, shop.brand, platform=shop.spec.name, name=name, address=shop.external_ids[name]
                )
            return Prepared(installed=bool(connected))
        assert news.person is not None
        if news.kind is NewsKind.PERSON_ERASE:
            named = people.named(shop, news.person)
            return Prepared(receipts=await self._sealer.destroy(shop.brand, named, actor=shop.actor))
        asked = {
            "customer_id": news.person.customer_id,
            "email": news.person.email,
            "phone": news.person.phone,
        }
        sealed = await self._sealer.seal(
            shop.brand,
            people.asker(shop, news.person),
            {name: value for name, value in asked.items() if value},
            context=REQUEST_CONTEXT,
            happened_at=news.at,
        )
        return Prepared(person=None if isinstance(sealed, Erased) else sealed)

    async def person_export(
        self,
        tx: WriteSession,
        shop: Shop,
        news: News,
        *,
        place: Place,
        received_at: datetime,
        prepared: object,
    ) -> Applied:
        """Waits for the brand: what is known is given by GET /v1/privacy_requests/{id}, and the brand answers the
        customer within 30 days."""
        assert news.person is not None
        assert isinstance(prepared, Prepared)
        request = await repository_privacy.ask(
            tx,
            shop.brand,
            shop.connection_id,
            kind="export",
            told=people.told(news.person),
            state="open",
            person=None if prepared.person is None else pack(prepared.person),
            order_ids=messages.ids_text(news.person.order_ids),
            now=received_at,
            receipt=None,
        )
        if request is None:
            return Applied(unchanged=1)
        await self._said(tx, shop, request, kind="export", received_at=received_at)
        return Applied(created=1)

    async def person_erase(
        self,
        tx: WriteSession,
        shop: Shop,
        news: News,
        *,
        place: Place,
        received_at: datetime,
        prepared: object,
    ) -> Applied:
        """The keys are destroyed already. Orders that the shop names are told anew, without a person."""
        assert news.person is not None
        assert isinstance(prepared, Prepared)
        erased = 0
        for order_id in messages.ids_text(news.person.order_ids):
            row = await repository.lock(tx, shop.brand, shop.connection_id, order_id, now=self._clock())
            if not row.version:
                await repository.drop(tx, shop.brand, shop.connection_id, [order_id])
                continue
            order = messages.order_from(row.document)
            await write(
                tx,
                shop,
                order,
                row=row,
                person=None,
                news=["erased"],
                received_at=received_at,
                clock=self._clock,
            )
            erased += 1
        request = await repository_privacy.ask(
            tx,
            shop.brand,
            shop.connection_id,
            kind="erase",
            told=people.told(news.person),
            state="done",
            person=None,
            order_ids=messages.ids_text(news.person.order_ids),
            now=received_at,
            receipt=people.receipt_of(prepared.receipts, orders=erased),
        )
        assert request is not None
        platform = shop.spec.name
        tx.after_commit(lambda: metrics.ORDERS.labels(platform, "erased").inc(erased))
        await self._said(tx, shop, request, kind="erase", received_at=received_at)
        return Applied(updated=erased, deleted=len(prepared.receipts))

    async def shop_erase(
        self,
        tx: WriteSession,
        shop: Shop,
        news: News,
        *,
        place: Place,
        received_at: datetime,
        prepared: object,
    ) -> Applied:
        """Never believed while the app is installed: it would be an old one, sent again. Carried out by the keeper."""
        assert isinstance(prepared, Prepared)
        if prepared.installed:
            return Applied(stale=True)
        request = await repository_privacy.ask(
            tx,
            shop.brand,
            shop.connection_id,
            kind="shop_erase",
            told=WHOLE_SHOP,
            state="running",
            person=None,
            order_ids=[],
            now=received_at,
            receipt=None,
        )
        assert request is not None
        await self._said(tx, shop, request, kind="shop_erase", received_at=received_at)
        return Applied(created=1)

    async def _said(
        self, tx: WriteSession, shop: Shop, request: UUID, *, kind: str, received_at: datetime
    ) -> None:
        await self._notices.asked(
            tx,
            shop.brand,
            request,
            kind=kind,
            shop=shop.external_ids[shop.spec.required_external_ids[0]],
            due_at=received_at + repository_privacy.DUE,
        )
        platform = shop.spec.name
        tx.after_commit(lambda: metrics.REQUESTS.labels(platform, kind).inc())
