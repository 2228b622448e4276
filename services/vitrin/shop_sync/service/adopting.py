"""Adopting: which item of the platform's catalog an item of ours takes over, and what stays in doubt. One transaction
each; the caller holds the locks of the items, or the channel's claim."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from vitrin.kit.db.session import WriteSession
from vitrin.platforms.base import CatalogChannel
from vitrin.protos.catalog.v1.events_pb2 import ItemContent
from vitrin.shop_sync.domain import adoption, decide
from vitrin.shop_sync.domain.adoption import Doubt, Match, Matching, Ours
from vitrin.shop_sync.domain.sync import Reason
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.domain.words import adoption_ambiguous, platform_item_ambiguous
from vitrin.shop_sync.repository import shelf
from vitrin.shop_sync.service import metrics
from vitrin.shop_sync.service.mapping import id_values


@dataclass(frozen=True, slots=True)
class Plan:
    """By item id: the platform's item to take over, or why the item has to wait."""

    matches: Mapping[str, Match]
    doubts: Mapping[str, Reason]


NOTHING: Final = Plan({}, {})


def keys_of(channel: Channel, catalog: CatalogChannel, item_id: str, content: ItemContent) -> Ours:
    raw = decide.raw_id(channel.id_template, id_values(item_id, content, channel))
    return Ours(
        item_id,
        "" if isinstance(raw, Reason) else catalog.platform_item_id(raw),
        adoption.gtin_key(content.gtin),
        adoption.link_key(content.link),
    )


async def plan(tx: WriteSession, channel: Channel, arrived: Sequence[Ours], now: datetime) -> Plan:
    """For items of ours that have no id on the channel yet: what was matched when stock was taken, or is now."""
    await shelf.save_keys(tx, channel, arrived)
    matches = await shelf.planned(tx, channel, [one.item_id for one in arrived])
    fresh = [one for one in arrived if one.item_id not in matches]
    if not fresh:
        return Plan(matches, {})
    theirs = await shelf.theirs(tx, channel, fresh)
    if not theirs:
        return Plan(matches, {})
    found = adoption.match(await shelf.ours(tx, channel, theirs), theirs)
    wanted = {one.item_id for one in fresh}
    mine = [one for one in found.matches if one.item_id in wanted]
    doubts = [one for one in found.doubts if wanted.intersection(one.item_ids)]
    taken = await adopted(tx, channel, mine, now)
    await _doubted(tx, channel, doubts)
    made = {one.item_id: one for one in mine if one.platform_item_id in taken}
    return Plan({**matches, **made}, {i: r for i, r in reasons(doubts).items() if i in wanted})


async def match_all(tx: WriteSession, channel: Channel, now: datetime) -> Matching:
    """Everything of ours against everything that nobody claims; what was matched before stays."""
    theirs = await shelf.theirs(tx, channel, None)
    found = adoption.match(await shelf.ours(tx, channel, theirs), theirs)
    await adopted(tx, channel, found.matches, now)
    await shelf.clear_doubts(tx, channel, [one for doubt in found.doubts for one in doubt.platform_item_ids])
    await _doubted(tx, channel, found.doubts)
    return found


async def adopted(
    tx: WriteSession, channel: Channel, matches: Sequence[Match], now: datetime, *, by: str = ""
) -> set[str]:
    taken = await shelf.adopt(tx, channel, matches, now=now, by=by)
    for one in matches:
        if one.platform_item_id in taken:
            metrics.ADOPTED.labels(channel.platform, one.how.value).inc()
    return taken


async def _doubted(tx: WriteSession, channel: Channel, doubts: Iterable[Doubt]) -> None:
    """One of the platform's items may be in two doubts: the first is told."""
    told: dict[str, Reason] = {}
    for doubt in doubts:
        for one in doubt.platform_item_ids:
            told.setdefault(one, platform_item_ambiguous(doubt))
    await shelf.doubt(tx, channel, list(told.items()))


def reasons(doubts: Iterable[Doubt]) -> dict[str, Reason]:
    """Why items of ours have to wait."""
    told: dict[str, Reason] = {}
    for doubt in doubts:
        for one in doubt.item_ids:
            told.setdefault(one, adoption_ambiguous(doubt))
    return told
