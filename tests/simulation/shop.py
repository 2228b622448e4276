"""shop_sync's database as dictionaries, and its transactions: what is heard becomes desired, guarded, moved.

Follows service/{desired,guarding,recording,outcomes}.py; every decision is the product's own pure function."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from tests.simulation.spine import MARKET, Record
from vitrin.kit.ids import BrandId, ChannelId
from vitrin.shop_sync.domain import decide, guard, replica, schedule, sync
from vitrin.shop_sync.domain.decide import Desired, Excluded, Invalid, Wanted
from vitrin.shop_sync.domain.guard import Ask, Charge, Judgement, Kind, Policy, Standing, Window
from vitrin.shop_sync.domain.replica import ItemReplica
from vitrin.shop_sync.domain.sync import Facts, Reason, State, Want
from vitrin.shop_sync.domain.values import Attempt, ChannelItem, Gate, StoredHunt, Times
from vitrin.shop_sync.domain.words import REMOVAL_REJECTED, removal_held

BRAND, CHANNEL = BrandId(UUID(int=1)), ChannelId(UUID(int=2))
OFFER_FIELDS: Final = ("price", "availability")
SOLD_OUT: Final = "out of stock"
NO_TITLE: Final = Reason("missing_title", "title", "The item has no title.", "Give it one.")
Attributes = dict[str, object]


@dataclass
class Request:
    request_id: UUID
    state: guard.RequestState = "open"
    waiting: dict[str, Kind] = field(default_factory=dict)


@dataclass
class Subject:
    row: ChannelItem
    replica: ItemReplica
    desired: Desired
    full: Attributes | None = None
    part: Attributes | None = None
    held_offer: Attributes | None = None
    withheld: tuple[Reason, ...] = ()

    @property
    def item(self) -> str:
        return self.row.item_id

    @property
    def is_newer(self) -> bool:
        offer = self.replica.offers.get(MARKET)
        return self.replica.content.version > self.row.content_version or (
            offer is not None and offer.version > self.row.offer_version
        )

    @property
    def offer(self) -> Mapping[str, object] | None:
        match self.desired:
            case Wanted(attributes=attributes):
                return attributes
            case Invalid():
                return self.held_offer
            case _:
                return None

    def want(self, full: Attributes, part: Attributes) -> None:
        self.desired, self.full, self.part = decide.wanted(full, part), full, part

    def render(self) -> bool:
        offer = self.replica.offers.get(MARKET)
        if offer is None or not self.replica.exists:
            return False
        content = json.loads(self.replica.content.payload)
        part: Attributes = json.loads(offer.payload)
        if not content["valid"]:
            problems = (NO_TITLE,)
            stands = self.row.facts.confirmed is not None and decide.offer_stands_alone(part, problems)
            self.held_offer = part if stands else None
            self.desired = Invalid(problems, offer=decide.digest(part) if stands else None)
        else:
            self.want({"title": content["title"], **part}, part)
        return True


class Shop:
    """`moved`: told of every row that was given new facts. `left`: of items that left without an approval."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.replicas: dict[str, ItemReplica] = {}
        self.rows: dict[str, ChannelItem] = {}
        self.wanted: dict[str, tuple[Attributes, Attributes]] = {}
        """Attributes to send now: whole, and price and stock alone."""
        self.sent: dict[str, Attributes] = {}
        self.attempts: dict[UUID, Attempt] = {}
        self.hunts: dict[UUID, StoredHunt] = {}
        self.gate = Gate()
        self.claim_id: UUID | None = None
        self.window = Window()
        self.charges: dict[str, Charge] = {}
        self.requests: list[Request] = []
        self.positions: dict[tuple[str, UUID, int], int] = {}
        self.moved: Callable[[ChannelItem, Facts], None] = lambda row, before: None
        self.judged: Callable[[Judgement, int, datetime], None] = lambda judgement, shown, now: None
        self.returned: Callable[[str], None] = lambda item: None
        self.hunts_begun = 0
        self._ids = 1000

    def new_id(self) -> UUID:
        self._ids += 1
        return UUID(int=self._ids)

    # ---- what is heard

    def hear(self, records: Iterable[Record], now: datetime) -> None:
        touched = set()
        for record in records:
            item = record.key.split("/")[0]
            before = self.replicas.get(item, ItemReplica())
            after = replica.join(before, record.news)
            assert replica.join(record.news, before) == after == replica.join(after, record.news)
            if after != before:
                self.replicas[item] = after
                touched.add(item)
        self.desire(sorted(touched), now)

    def desire(self, items: Sequence[str], now: datetime) -> None:
        subjects = [subject for item in items if (subject := self._subject(item)) is not None]
        self._guard([subject for subject in subjects if subject.row.version > 0], now)
        for subject in subjects:
            self._move(subject, now)

    def _subject(self, item: str) -> Subject | None:
        held = self.replicas[item]
        row = self.rows.get(item) or ChannelItem(
            brand_id=BRAND, channel_id=CHANNEL, item_id=item, platform_item_id=item
        )
        if not row.version and not held.content.version:
            return None
        content = json.loads(held.content.payload or b"{}")
        reason = decide.exclusion(
            exists=held.exists,
            status=content.get("status", ""),
            gift_card=False,
            offered=MARKET in held.offers,
            market=MARKET,
        )
        subject = Subject(row, held, Invalid(()))
        if reason is not None:
            subject.desired = Excluded(reason)
        else:
            assert subject.render()
        return subject

    def _move(self, subject: Subject, now: datetime) -> None:
        row, held = subject.row, subject.replica
        before, newer = row.facts, subject.is_newer
        offer = held.offers.get(MARKET)
        row.content_version = held.content.version
        row.offer_version = offer.version if offer else held.offer_floor
        match subject.desired:
            case Wanted(hashes=hashes):
                facts = sync.desire_present(before, hashes)
                assert subject.full is not None
                assert subject.part is not None
                self.wanted[row.item_id] = (subject.full, subject.part)
            case Invalid(problems=problems, offer=digest):
                facts = sync.hold(before, problems, digest)
                if subject.held_offer is not None:
                    old = self.wanted[row.item_id][0]
                    self.wanted[row.item_id] = ({**old, **subject.held_offer}, subject.held_offer)
            case Excluded() if subject.withheld:
                facts = sync.hold(before, ())
            case Excluded(reason=reason):
                facts = sync.desire_absent(before, reason)
        facts = sync.withheld(facts, subject.withheld)
        if facts.desired != before.desired and newer:
            row.changed = Times(now, now).oldest(row.changed)
        self.move(row, facts, now)

    def move(self, row: ChannelItem, facts: Facts, now: datetime) -> None:
        """As the Recorder does."""
        before_facts, before, after = row.facts, row.settled, sync.settle(facts)
        row.facts, row.settled = facts, after
        if after.state is State.ACCEPTED and row.read_back_at is None:
            row.read_back_at, row.read_back_tries = now, 0
        if after.lane is None and facts.in_flight is None:
            row.changed = None
        if after.lane is None:
            row.pending_at = None
        elif before.lane is None or row.pending_at is None:
            row.pending_at = now
        self.rows[row.item_id] = row
        if row.version == 0 or (before.state, before.reasons) != (after.state, after.reasons):
            row.version += 1
        self.moved(row, before_facts)

    # ---- the removal guard

    def _guard(self, subjects: Sequence[Subject], now: datetime) -> None:
        since = guard.first_slot(now)
        self.charges = {item: charge for item, charge in self.charges.items() if charge.slot >= since}
        kinds = {subject.item: self._kind(subject) for subject in subjects}
        standings = {
            subject.item: self._standing(subject, kinds[subject.item])
            for subject in subjects
            if subject.row.facts.held
        }
        shown = {subject.item: self.sent.get(subject.item, {}) for subject in subjects}
        asks = [
            Ask(
                item,
                kind,
                self.charges.get(item),
                told=kind is Kind.ZEROING and shown[item].get("availability") == SOLD_OUT,
            )
            for item, kind in kinds.items()
            if kind is not None and standings.get(item, Standing.ASKS) is Standing.ASKS
        ]
        back = [
            subject.item
            for subject in subjects
            if kinds[subject.item] is None and subject.offer and subject.offer["availability"] != SOLD_OUT
        ]
        for item in back:
            self.returned(item)
        returned = {item: self.charges.pop(item) for item in back if item in self.charges}
        judgement = self._judge(asks, returned.values(), now)
        by_item = {subject.item: subject for subject in subjects}
        self._settle(by_item, kinds, standings, shown)
        if judgement.held:
            request = self.open_request or Request(self.new_id())
            if request not in self.requests:
                self.requests.append(request)
            for ask in judgement.held:
                request.waiting[ask.item_id] = ask.kind
                reason = removal_held(request.request_id, ask.kind)
                _withhold(by_item[ask.item_id], ask.kind, shown[ask.item_id], reason)

    def _judge(self, asks: Sequence[Ask], returned: Iterable[Charge], now: datetime) -> Judgement:
        window = guard.paid_back(self.window, returned, now)
        up_to = guard.count_up_to(self.policy, window, asks, now)
        on_show = sum(row.facts.exposed and row.facts.want is not Want.ABSENT for row in self.rows.values())
        if up_to is not None:
            window = guard.counted(window, min(up_to, on_show), up_to=up_to, now=now)
        judgement = guard.judge(self.policy, window, asks, now)
        self.window = judgement.window
        self.charges |= judgement.charges
        self.judged(judgement, on_show, now)
        return judgement

    def _settle(
        self,
        subjects: Mapping[str, Subject],
        kinds: Mapping[str, Kind | None],
        standings: Mapping[str, Standing],
        shown: Mapping[str, Attributes],
    ) -> None:
        for item, standing in standings.items():
            kind, request = kinds[item], self._request_of(item)
            if standing is Standing.STAYS and kind is not None and request is not None:
                request.waiting[item] = kind
                _withhold(subjects[item], kind, shown[item], removal_held(request.request_id, kind))
                continue
            if request is not None:
                del request.waiting[item]
                if not request.waiting and request.state == "open":
                    request.state = "withdrawn"
            if standing is Standing.KEPT:
                _withhold(subjects[item], kind, shown[item], REMOVAL_REJECTED)

    @property
    def open_request(self) -> Request | None:
        return next((one for one in self.requests if one.state == "open"), None)

    def _request_of(self, item: str) -> Request | None:
        return next((one for one in self.requests if item in one.waiting), None)

    def _kind(self, subject: Subject) -> Kind | None:
        facts, offer = subject.row.facts, subject.offer
        wanted = self.wanted.get(subject.item, ({}, {}))[0]
        return guard.ask_of(
            shown=facts.exposed and facts.want is not Want.ABSENT,
            absent=isinstance(subject.desired, Excluded),
            was_sellable="availability" in wanted and wanted["availability"] != SOLD_OUT,
            sellable=offer is None or offer["availability"] != SOLD_OUT,
        )

    def _standing(self, subject: Subject, kind: Kind | None) -> Standing:
        request = self._request_of(subject.item)
        return guard.standing(
            code=subject.row.facts.held[0].code,
            state=request.state if request else None,
            asks=kind is not None,
            newer=subject.is_newer,
        )

    def decide(self, *, approve: bool, now: datetime) -> None:
        """Somebody decides about the open request, or takes the last rejection back; carried out at once."""
        found = self.open_request or next((one for one in reversed(self.requests) if one.waiting), None)
        decision: guard.Decision = "approved" if approve else "rejected"
        if found is None or not guard.may_decide(found.state, decision):
            return
        found.state = decision
        self.desire(sorted(found.waiting), now)

    # ---- the worker's queries

    def due(self, *, fast: bool, limit: int) -> list[ChannelItem]:
        lanes = {sync.Lane.OFFER} if fast else {sync.Lane.CONTENT, sync.Lane.BACKLOG}
        found = [row for row in self.rows.values() if row.settled.lane in lanes]
        found.sort(key=lambda row: (row.settled.lane, row.pending_at, row.item_id))
        return found[:limit]

    def of_attempt(self, attempt_id: UUID) -> list[ChannelItem]:
        return [
            row
            for row in self.rows.values()
            if row.facts.in_flight is not None and row.facts.in_flight.attempt_id == attempt_id
        ]

    def of_hunt(self, hunt_id: UUID) -> dict[str, ChannelItem]:
        return {row.item_id: row for row in self.rows.values() if row.facts.hunt_id == hunt_id}

    def ready_hunt(self) -> StoredHunt | None:
        """Those that need not wait before those that do."""
        ready = [one for one in self.hunts.values() if one.attempt_id not in self.attempts]
        return min(ready, key=lambda one: one.due_at or one.created_at, default=None)

    def decide_attempt(
        self, attempt: Attempt, decision: Callable[[ChannelItem], Facts | None], now: datetime
    ) -> int:
        """As Outcomes.decide; answers how many stay in flight."""
        left, arrived = 0, []
        for row in sorted(self.of_attempt(attempt.attempt_id), key=lambda row: row.item_id):
            flight, facts = row.facts.in_flight, decision(row)
            if facts is None or flight is None:
                left += 1
                continue
            if facts.in_flight is None and (
                facts.confirmed == flight.hashes or (flight.deletes and not facts.exposed)
            ):
                row.read_back_tries = 0
                row.read_back_at = None if facts.seen else schedule.next_read_back(now, 0)
            self.move(row, facts, now)
            left += facts.in_flight is not None
            if sync.may_follow(facts):
                arrived.append(row.item_id)
        self.desire(arrived, now)
        return left

    def close(self, attempt: Attempt, *, unknown: bool, now: datetime, look_first: timedelta) -> None:
        if unknown:
            due_at = now + look_first
            self.attempts[attempt.attempt_id] = replace(attempt, stage="unknown", due_at=due_at, tries=0)
        else:
            self.attempts.pop(attempt.attempt_id, None)


def _withhold(subject: Subject, kind: Kind | None, shown: Mapping[str, object], reason: Reason) -> None:
    subject.withheld = (reason,)
    if kind is Kind.REMOVAL and not subject.render():
        return
    offer = subject.offer
    if offer is None or offer["availability"] != SOLD_OUT or not shown or shown["availability"] == SOLD_OUT:
        return
    match subject.desired:
        case Wanted() if subject.full is not None and subject.part is not None:
            subject.want(
                guard.keep_stock(subject.full, shown, ("availability",)),
                guard.keep_stock(subject.part, shown, ("availability",)),
            )
        case Invalid(problems=problems):
            subject.held_offer = guard.keep_stock(offer, shown, ("availability",))
            subject.desired = Invalid(problems, offer=decide.digest(subject.held_offer))
