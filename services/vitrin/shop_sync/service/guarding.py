"""The removal guard at work: asks of one transaction are judged per channel, under the lock of the channel's window.

`check` stands between deciding what a channel should show and saving it. What may not leave yet is turned back into
what is shown; everything else of the item goes on. Charges, requests and their items are saved with the items.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row

from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import new_uuid
from vitrin.shop_sync import events
from vitrin.shop_sync.domain import decide, guard, sync
from vitrin.shop_sync.domain.decide import Excluded, Invalid, Wanted
from vitrin.shop_sync.domain.guard import Ask, Charge, Judgement, Kind, Policy, Standing
from vitrin.shop_sync.domain.sync import Reason, Want
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.domain.words import REMOVAL_REJECTED, SOLD_OUT, removal_held
from vitrin.shop_sync.repository import guard as memory
from vitrin.shop_sync.repository import removals
from vitrin.shop_sync.repository.guard import Attributes, Pair
from vitrin.shop_sync.repository.removals import NewItem, Waiting
from vitrin.shop_sync.service import metrics
from vitrin.shop_sync.service.subject import Subject

ALERT_AGAIN_AFTER: Final = timedelta(seconds=60)
"""A request that grows says so again, but not more often."""
CAUSES_MAX: Final = 20
Shown = Mapping[str, object]


@dataclass(slots=True)
class _Case:
    """What one channel's subjects ask for. Keys are item ids."""

    channel: Channel
    subjects: dict[str, Subject] = field(default_factory=dict)
    shown: dict[str, Shown] = field(default_factory=dict)
    kinds: dict[str, Kind | None] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)

    @property
    def asks(self) -> list[Ask]:
        """In need of a judgement: not what somebody decided, or has to decide, already."""
        return [
            Ask(item, kind, self.charges.get(item), told=self._told(item, kind))
            for item, kind in self.kinds.items()
            if kind is not None and self.standings.get(item, Standing.ASKS) is Standing.ASKS
        ]

    def _told(self, item: str, kind: Kind) -> bool:
        return kind is Kind.ZEROING and _sold_out(self.subjects[item], self.shown[item])

    @property
    def returned(self) -> dict[str, Charge]:
        """Left within the window, and can be bought again."""
        return {
            item: charge
            for item, charge in self.charges.items()
            if self.kinds[item] is None and _can_be_bought(self.subjects[item])
        }


class Guarding:
    async def check(self, tx: WriteSession, subjects: Sequence[Subject], now: datetime) -> None:
        """The caller holds the locks of the items. Locks windows in the order of channels."""
        known = [subject for subject in subjects if subject.row.version > 0]
        if not known:
            return
        for case in await self._cases(tx, known, now):
            if case.asks or case.returned or case.waiting:
                await self._judge(tx, case, now)
            for item, standing in case.standings.items():
                if standing is Standing.KEPT:
                    _withhold(
                        case.subjects[item], case.kinds[item], case.shown.get(item, {}), REMOVAL_REJECTED
                    )

    async def _cases(self, tx: WriteSession, subjects: Sequence[Subject], now: datetime) -> list[_Case]:
        brands = sorted({subject.channel.brand_id for subject in subjects})
        charges = await memory.charges(tx, brands, _pairs(subjects), since=guard.first_slot(now))
        held = [subject for subject in subjects if subject.row.facts.held]
        waiting = await removals.waiting(tx, brands, _pairs(held))
        doubtful = [subject for subject in subjects if _is_shown(subject) and not _can_be_bought(subject)]
        attributes = await memory.attributes(tx, brands, _pairs(doubtful))
        cases: dict[Any, _Case] = {}
        for subject in subjects:
            pair, item = _pair(subject), subject.row.item_id
            case = cases.setdefault(subject.channel.channel_id, _Case(subject.channel))
            case.subjects[item] = subject
            wanted, case.shown[item] = attributes.get(pair, Attributes())
            case.kinds[item] = _kind(subject, wanted)
            if pair in charges:
                case.charges[item] = charges[pair]
            if pair in waiting:
                case.waiting[item] = waiting[pair]
            if subject.row.facts.held:
                case.standings[item] = _standing(subject, case)
        return [cases[channel] for channel in sorted(cases)]

    async def _judge(self, tx: WriteSession, case: _Case, now: datetime) -> None:
        channel, asks, returned = case.channel, case.asks, case.returned
        policy = await memory.policy(tx, channel.brand_id)
        window = await memory.lock_window(tx, channel.brand_id, channel.channel_id)
        window = guard.paid_back(window, returned.values(), now)
        up_to = guard.count_up_to(policy, window, asks, now)
        if up_to is not None:
            shown = await memory.count_shown(tx, channel, up_to=up_to)
            window = guard.counted(window, shown, up_to=up_to, now=now)
        judgement = guard.judge(policy, window, asks, now)
        if asks or returned:
            await memory.save_window(tx, channel, judgement.window)
            await memory.save_charges(
                tx, channel, judgement.charges, returned=returned, since=guard.first_slot(now)
            )
        await self._settle(tx, case, now)
        if judgement.held:
            await self._request(tx, case, judgement, policy, now)

    async def _settle(self, tx: WriteSession, case: _Case, now: datetime) -> None:
        """Items that waited: gone, kept, back, or waiting on; their requests are counted anew."""
        moved: list[tuple[UUID, str, str, str]] = []
        sums: dict[UUID, Counter[str]] = {}
        for item, waits in case.waiting.items():
            standing, kind = case.standings[item], case.kinds[item]
            total = sums.setdefault(waits.request_id, Counter())
            if standing is Standing.STAYS and kind is not None:
                _withhold(case.subjects[item], kind, case.shown[item], removal_held(waits.request_id, kind))
                if kind is waits.kind:
                    continue
                total[f"waiting_{kind}s"] += 1
                moved.append((waits.request_id, item, kind.value, "waiting"))
            else:
                state = _END_STATES[standing]
                total[state] += 1
                moved.append((waits.request_id, item, waits.kind.value, state))
            total[f"waiting_{waits.kind}s"] -= 1
        await removals.settle(tx, case.channel.brand_id, moved, now=now)
        for request_id, total in sorted(sums.items()):
            if total:
                await self._recount(tx, case, request_id, total, now)

    async def _recount(
        self, tx: WriteSession, case: _Case, request_id: UUID, total: "Counter[str]", now: datetime
    ) -> None:
        """An open request whose last item came back is over."""
        brand = case.channel.brand_id
        request = await removals.get(tx, brand, request_id)
        assert request is not None
        await removals.recount(tx, brand, request_id, **total, causes=request.causes, now=now)
        changes = total["waiting_removals"] + total["waiting_zeroings"]
        if request.state == "open" and request.waiting_removals + request.waiting_zeroings + changes == 0:
            await withdraw(tx, case.channel, request, note="everything came back", now=now)

    async def _request(
        self, tx: WriteSession, case: _Case, judgement: Judgement, policy: Policy, now: datetime
    ) -> None:
        """The held asks join the channel's open request, or open one."""
        channel, brand = case.channel, case.channel.brand_id
        request = await removals.open_request(tx, channel)
        if request is None:
            request = await self._opened(tx, channel, judgement, now)
        else:
            again = now + ALERT_AGAIN_AFTER
            await removals.make_due(tx, brand, request.request_id, again, waits=True)
        subjects = [case.subjects[ask.item_id] for ask in judgement.held]
        titles = await self._titles(tx, case, subjects)
        added = []
        causes: Counter[str] = Counter(request.causes)
        for ask in judgement.held:
            subject = case.subjects[ask.item_id]
            why = json.dumps(sync.as_json((_wish(subject),))[0])
            added.append(NewItem(ask.item_id, ask.kind, titles.get(ask.item_id, ""), why, subject.actor))
            causes[subject.actor] += 1
            reason = removal_held(request.request_id, ask.kind)
            _withhold(subject, ask.kind, case.shown[ask.item_id], reason)
            metrics.REMOVALS_HELD.labels(channel.platform, ask.kind.value).inc()
        await removals.add_items(tx, channel, request.request_id, added, now=now)
        kinds = Counter(ask.kind for ask in judgement.held)
        await removals.recount(
            tx,
            brand,
            request.request_id,
            waiting_removals=kinds[Kind.REMOVAL],
            waiting_zeroings=kinds[Kind.ZEROING],
            causes=dict(causes.most_common(CAUSES_MAX)),
            now=now,
        )
        if request.alerted_at is None:
            await say_held(tx, channel, request.request_id, policy, now)

    async def _opened(
        self, tx: WriteSession, channel: Channel, judgement: Judgement, now: datetime
    ) -> "Row[Any]":
        base = judgement.window.base
        await removals.create_request(
            tx,
            channel,
            new_uuid(),
            limit=judgement.limit,
            shown=base.items if base else None,
            passed=sum(guard.left_in(judgement.window)),
            now=now,
            due_at=now + ALERT_AGAIN_AFTER,
        )
        request = await removals.open_request(tx, channel)
        assert request is not None
        return request

    async def _titles(self, tx: WriteSession, case: _Case, subjects: Sequence[Subject]) -> Mapping[str, str]:
        """As the platform shows them: a deleted item has none any more."""
        unknown = [subject for subject in subjects if not case.shown[subject.row.item_id]]
        found = await memory.attributes(tx, [case.channel.brand_id], _pairs(unknown))
        for (_, item), attributes in found.items():
            case.shown[item] = attributes.sent
        return {item: str(shown.get("title", "")) for item, shown in case.shown.items()}


_END_STATES: Final[Mapping[Standing, str]] = {
    Standing.GOES: "gone",
    Standing.KEPT: "kept",
    Standing.BACK: "back",
    Standing.ASKS: "kept",
}
"""What an item that waited is now. One that asks anew does so after a rejection."""


async def say_held(
    tx: WriteSession, channel: Channel, request_id: UUID, policy: Policy, now: datetime
) -> None:
    """The alert, with the request as it stands in this transaction."""
    request = await removals.get(tx, channel.brand_id, request_id)
    assert request is not None
    tx.publish(events.removal_held(request, brand=channel.brand_id, percent=policy.percent, now=now))
    waiting = request.waiting_removals + request.waiting_zeroings
    await removals.alerted(tx, channel.brand_id, request_id, items=waiting, now=now)


async def withdraw(
    tx: WriteSession, channel: Channel, request: "Row[Any]", *, note: str, now: datetime
) -> None:
    """The request needs no decision any more; the window is locked."""
    brand = channel.brand_id
    await removals.end(
        tx, brand, request.request_id, state="withdrawn", by="", note=note, now=now, finished=True
    )
    await removals.make_due(tx, brand, request.request_id, now, waits=False)
    tx.publish(events.removal_decided(request, brand=brand, decision="withdrawn", by="", note=note, now=now))


def _pair(subject: Subject) -> Pair:
    return subject.channel.channel_id, subject.row.item_id


def _pairs(subjects: Sequence[Subject]) -> list[Pair]:
    return [_pair(subject) for subject in subjects]


def _is_shown(subject: Subject) -> bool:
    """The platform may hold it, and nobody has let it go yet."""
    facts = subject.row.facts
    return facts.exposed and facts.want is not Want.ABSENT


def _sold_out(subject: Subject, attributes: Mapping[str, object]) -> bool:
    return attributes.get("availability") in subject.catalog.capabilities.sold_out_words


def _can_be_bought(subject: Subject) -> bool:
    """With what the shop wants now."""
    offer = subject.offer
    return offer is not None and not _sold_out(subject, offer)


def _kind(subject: Subject, wanted: Mapping[str, object]) -> Kind | None:
    """`wanted` until now: what was let go but not sent yet asks for nothing any more."""
    offer = subject.offer
    return guard.ask_of(
        shown=_is_shown(subject),
        absent=isinstance(subject.desired, Excluded),
        was_sellable="availability" in wanted and not _sold_out(subject, wanted),
        sellable=offer is None or not _sold_out(subject, offer),
    )


def _standing(subject: Subject, case: _Case) -> Standing:
    item = subject.row.item_id
    waits = case.waiting.get(item)
    return guard.standing(
        code=subject.row.facts.held[0].code,
        state=waits.state if waits else None,
        asks=case.kinds[item] is not None,
        newer=bool(subject.newer),
    )


def _wish(subject: Subject) -> Reason:
    """Why the shop wants it gone."""
    return subject.desired.reason if isinstance(subject.desired, Excluded) else SOLD_OUT


def _withhold(subject: Subject, kind: Kind | None, shown: Shown, reason: Reason) -> None:
    """Instead of leaving, the item goes on as it is shown: its price and content follow the shop, its stock does not
    if it is sold out. A deleted item has nothing to follow: it stays as it is."""
    subject.withheld = (reason,)
    if kind is Kind.REMOVAL and not subject.render():
        return
    offer = subject.offer
    if offer is None or not _sold_out(subject, offer) or not shown or _sold_out(subject, shown):
        return
    fields = subject.catalog.capabilities.stock_fields
    match subject.desired:
        case Wanted() if subject.attributes is not None:
            parts = json.loads(subject.attributes)
            subject.want(
                guard.keep_stock(parts["full"], shown, fields),
                guard.keep_stock(parts["offer"], shown, fields),
            )
        case Invalid(problems=problems):
            subject.held_offer = guard.keep_stock(offer, shown, fields)
            subject.desired = Invalid(problems, offer=decide.digest(subject.held_offer))
