"""Desired state: what each channel of a brand should show of the items that changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import orjson

from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import ChannelId
from vitrin.kit.logs import get_logger
from vitrin.platforms.base import CatalogChannel, ChannelMisconfigured
from vitrin.protos.catalog.v1.events_pb2 import ItemContent
from vitrin.shop_sync.domain import decide, sync
from vitrin.shop_sync.domain.decide import Excluded, Invalid, Wanted
from vitrin.shop_sync.domain.replica import ItemReplica
from vitrin.shop_sync.domain.sync import Reason, State
from vitrin.shop_sync.domain.values import Channel, ChannelItem, Times
from vitrin.shop_sync.repository import items, replica, shelf
from vitrin.shop_sync.repository.replica import Key
from vitrin.shop_sync.service.adopting import NOTHING, Plan, keys_of, plan
from vitrin.shop_sync.service.catalogs import Catalogs
from vitrin.shop_sync.service.guarding import Guarding
from vitrin.shop_sync.service.mapping import id_values
from vitrin.shop_sync.service.recording import Recorder
from vitrin.shop_sync.service.subject import Subject, decided

GONE_STATES: Final = frozenset({State.EXCLUDED, State.REMOVED})
HEIRS_MAX: Final = 500
"""Items that wait for freed ids and are looked at again at once: each id has one heir, who makes the others wait."""
_log = get_logger("vitrin.shop_sync.desired")


class Desires:
    """Sets desired states; the caller holds the locks of the replicas and saves in the same transaction."""

    def __init__(self, catalogs: Catalogs) -> None:
        self._catalogs = catalogs
        self._guarding = Guarding()

    async def set(
        self,
        tx: WriteSession,
        *,
        channels: Sequence[Channel],
        replicas: Mapping[Key, ItemReplica],
        now: datetime,
        backlog: bool = False,
    ) -> list[ChannelId]:
        """Answers the channels that have something to send, or to look at, now."""
        subjects = await self._subjects(tx, channels, replicas)
        await self._identify(tx, subjects, now)
        await self._guarding.check(tx, subjects, now)
        await self._hold(tx, subjects)
        recorder = Recorder({channel.channel_id: channel for channel in channels}, now)
        for subject in subjects:
            self._move(recorder, subject, backlog=backlog)
        await recorder.flush(tx)
        due = {subject.channel.channel_id for subject in subjects if _is_due(subject.row, now)}
        for channel in channels:
            mine = [subject.row for subject in subjects if subject.channel is channel]
            due.update(await self.hand_over_ids(tx, channel, mine, now=now))
        return sorted(due)

    async def hand_over_ids(
        self, tx: WriteSession, channel: Channel, rows: Sequence[ChannelItem], *, now: datetime
    ) -> list[ChannelId]:
        """Some of these saved rows may have left the platform for good: whoever waits for their ids may have them.
        Answers the channels that have something to send now."""
        taken = [
            decide.id_taken(row.platform_item_id, row.item_id).message
            for row in rows
            if row.platform_item_id and row.settled.state in GONE_STATES
        ]
        waiting = await items.waiting_for(tx, channel, taken, limit=HEIRS_MAX) if taken else ()
        if not waiting:
            return []
        replicas = await replica.lock(tx, [(channel.brand_id, item_id) for item_id in waiting])
        return await self.set(tx, channels=[channel], replicas=replicas, now=now)

    async def follow(
        self, tx: WriteSession, channel: Channel, rows: Sequence[ChannelItem], *, now: datetime
    ) -> list[ChannelId]:
        """Some of these saved rows may have turned invalid while they were on their way: where they arrived, price and
        stock go on. Answers the channels that have something to send now."""
        arrived = sorted(row.item_id for row in rows if sync.may_follow(row.facts))
        if not arrived:
            return []
        replicas = await replica.lock(tx, [(channel.brand_id, item_id) for item_id in arrived])
        return await self.set(tx, channels=[channel], replicas=replicas, now=now)

    async def _subjects(
        self, tx: WriteSession, channels: Sequence[Channel], replicas: Mapping[Key, ItemReplica]
    ) -> list[Subject]:
        contents = {key: ItemContent.FromString(replica.content.payload) for key, replica in replicas.items()}
        pairs = [
            (channel, catalog, key)
            for channel, catalog in self._openable(channels)
            for key in replicas
            if key[0] == channel.brand_id
        ]
        brands = sorted({channel.brand_id for channel, _, _ in pairs})
        rows = await items.lock(tx, brands, [(channel.channel_id, key[1]) for channel, _, key in pairs])
        subjects = []
        for channel, catalog, key in pairs:
            row = rows.get((channel.channel_id, key[1])) or ChannelItem(
                brand_id=channel.brand_id, channel_id=channel.channel_id, item_id=key[1]
            )
            if row.version or replicas[key].content.version:
                subjects.append(decided(channel, catalog, replicas[key], contents[key], row))
        return subjects

    def _openable(self, channels: Sequence[Channel]) -> list[tuple[Channel, CatalogChannel]]:
        found = []
        for channel in channels:
            try:
                found.append((channel, self._catalogs.renderer(channel)))
            except ChannelMisconfigured as error:
                _log.warning("channel_misconfigured", channel=str(channel.channel_id), code=error.code)
        return found

    async def _identify(self, tx: WriteSession, subjects: Sequence[Subject], now: datetime) -> None:
        """Give wanted items their id on the channel: first come first served, and theirs until they are deleted. An
        item that the platform held before goes by the id that it has there, so nobody gets one before that is known:
        the first sync, which begins again then, gives them."""
        nameless = [
            subject
            for subject in subjects
            if isinstance(subject.desired, Wanted)
            and subject.row.platform_item_id is None
            and subject.channel.stock != "taking"
        ]
        await self._drop_keys(tx, subjects)
        plans = await self._plans(tx, nameless, now)
        wishes: dict[tuple[ChannelId, str], tuple[str, Subject]] = {}
        for subject in nameless:
            wish = _wish(subject, plans.get(subject.channel.channel_id, NOTHING))
            if wish is not None:
                wishes[(subject.channel.channel_id, subject.row.item_id)] = (wish, subject)
        owners = await items.take_ids(
            tx,
            [(s.channel.brand_id, s.channel.channel_id, wish, s.row.item_id) for wish, s in wishes.values()],
            in_hand={subject.row.item_id for subject in subjects},
        )
        for wish, subject in wishes.values():
            owner = owners[(subject.channel.channel_id, wish)]
            if owner == subject.row.item_id:
                subject.row.platform_item_id = wish
            else:
                subject.adopts = None
                subject.desired = Invalid((decide.id_taken(wish, owner),))

    async def _drop_keys(self, tx: WriteSession, subjects: Sequence[Subject]) -> None:
        """What was deleted in the shop stands in nobody's way any more."""
        gone: dict[ChannelId, list[Subject]] = {}
        for subject in subjects:
            if subject.channel.stock == "held" and not subject.replica.exists:
                gone.setdefault(subject.channel.channel_id, []).append(subject)
        for _, group in sorted(gone.items()):
            await shelf.drop_keys(tx, group[0].channel, [subject.row.item_id for subject in group])

    async def _plans(
        self, tx: WriteSession, nameless: Sequence[Subject], now: datetime
    ) -> Mapping[ChannelId, Plan]:
        """Of the channels whose catalog held items before us."""
        mine: dict[ChannelId, list[Subject]] = {}
        for subject in nameless:
            if subject.channel.stock == "held":
                mine.setdefault(subject.channel.channel_id, []).append(subject)
        plans = {}
        for channel_id, group in sorted(mine.items()):
            arrived = [keys_of(s.channel, s.catalog, s.row.item_id, s.content) for s in group]
            plans[channel_id] = await plan(tx, group[0].channel, arrived, now)
        return plans

    async def _hold(self, tx: WriteSession, subjects: Sequence[Subject]) -> None:
        """Items that turned invalid where they are shown: the content as it was accepted, with today's offer."""
        held: dict[ChannelId, list[Subject]] = {}
        for subject in subjects:
            if subject.held_offer is not None:
                held.setdefault(subject.channel.channel_id, []).append(subject)
        for group in held.values():
            stored = await items.attributes(tx, group[0].channel, [subject.row.item_id for subject in group])
            for subject in group:
                old = orjson.loads(stored[subject.row.item_id])["full"]
                offer = dict(subject.held_offer or {})
                subject.attributes = orjson.dumps({"full": {**old, **offer}, "offer": offer})

    def _move(self, recorder: Recorder, subject: Subject, *, backlog: bool) -> None:
        row, replica = subject.row, subject.replica
        offer = replica.offers.get(subject.channel.market)
        times = _change_times(subject, backlog=backlog)
        before = row.facts
        row.actor = subject.actor
        row.content_version = replica.content.version
        row.offer_version = offer.version if offer else replica.offer_floor
        match subject.desired:
            case Wanted(hashes=hashes):
                facts = sync.desire_present(before, hashes, backlog=backlog)
                row.attributes = subject.attributes
            case Invalid(problems=problems, offer=offer_hash):
                facts = sync.hold(before, problems, offer_hash)
                row.attributes = subject.attributes
            case Excluded() if subject.withheld:
                facts = sync.hold(before, ())
            case Excluded(reason=reason):
                facts = sync.desire_absent(before, reason)
        facts = sync.withheld(facts, subject.withheld)
        if facts.desired != before.desired and times is not None:
            row.changed = times.oldest(row.changed)
        if subject.adopts is not None:
            recorder.adopted(row, subject.adopts)
        recorder.move(row, facts)


def _wish(subject: Subject, found: Plan) -> str | None:
    """The id that the item would go by; None when it has to wait, and the subject says why."""
    channel, item_id = subject.channel, subject.row.item_id
    doubt = found.doubts.get(item_id)
    if doubt is not None:
        subject.desired = Invalid((doubt,))
        return None
    subject.adopts = found.matches.get(item_id)
    if subject.adopts is not None:
        return subject.adopts.platform_item_id
    raw = decide.raw_id(channel.id_template, id_values(item_id, subject.content, channel))
    if isinstance(raw, Reason):
        subject.desired = Invalid((raw,))
        return None
    return subject.catalog.platform_item_id(raw)


def _is_due(row: ChannelItem, now: datetime) -> bool:
    return row.settled.lane is not None or (row.read_back_at is not None and row.read_back_at <= now)


def _change_times(subject: Subject, *, backlog: bool) -> Times | None:
    """The oldest change that is new to the channel. Items of a first sync count from when it was asked for."""
    if backlog:
        return Times(subject.channel.opened_occurred_at, subject.channel.opened_occurred_at)
    times: Times | None = None
    for stamp in subject.newer:
        times = Times(stamp.occurred_at, stamp.received_at).oldest(times)
    return times
