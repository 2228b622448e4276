"""What a platform's catalog held that we did not put there, and the keys of our items that it is matched by.

States of a platform's item: stranger, ambiguous, left (somebody decided that it is none of ours), adopted, removal
(its removal waits for an approval), removing (approved), removed.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.platforms.base import ListedItem
from vitrin.shop_sync.domain.adoption import How, Match, Ours, Theirs, gtin_key, link_key
from vitrin.shop_sync.domain.sync import Reason
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.repository.bulk import Insert, arrays, transpose

STATES: Final = ("stranger", "ambiguous", "left", "adopted", "removal", "removing", "removed")
_FREE: Final = "t.state in ('stranger', 'ambiguous', 'left', 'removal')"
_LISTED: Final = {
    "brand_id": "uuid",
    "channel_id": "uuid",
    "platform_item_id": "text",
    "generation": "integer",
    "title": "text",
    "link": "text",
    "gtin_key": "text",
    "link_key": "text",
    "state": "text",
    "listed_at": "timestamptz",
}
_ADD: Final = Insert(
    "platform_items",
    _LISTED,
    "where not exists (select 1 from channel_ids c where c.brand_id = new.brand_id and c.channel_id = new.channel_id"
    " and c.platform_item_id = new.platform_item_id)"
    " on conflict (brand_id, channel_id, platform_item_id) do update set generation = excluded.generation,"
    " title = excluded.title, link = excluded.link, gtin_key = excluded.gtin_key, link_key = excluded.link_key,"
    " listed_at = excluded.listed_at,"
    " state = case when platform_items.state = 'removed' then 'stranger' else platform_items.state end",
)
_DROP_STALE: Final = text(
    "delete from platform_items where brand_id = :brand_id and channel_id = :channel_id and generation < :generation"
    " and state in ('stranger', 'ambiguous', 'left', 'removed')"
)
_FORGET: Final = "delete from {} where brand_id = :brand_id and channel_id = :channel_id"
_FORGET_ITEMS: Final = text(_FORGET.format("platform_items"))
_FORGET_KEYS: Final = text(_FORGET.format("adoption_keys"))
_UNMATCH: Final = text(
    "update platform_items set state = 'stranger', how = '', item_id = null, reason = null, decided_at = null,"
    " decided_by = '' where brand_id = :brand_id and channel_id = :channel_id and state in ('adopted', 'ambiguous')"
)
_KEYS: Final = {
    "brand_id": "uuid",
    "channel_id": "uuid",
    "item_id": "text",
    "platform_id": "text",
    "gtin_key": "text",
    "link_key": "text",
}
_SAVE_KEYS: Final = Insert(
    "adoption_keys",
    _KEYS,
    "on conflict (brand_id, channel_id, item_id) do update set platform_id = excluded.platform_id,"
    " gtin_key = excluded.gtin_key, link_key = excluded.link_key",
)
_DROP_KEYS: Final = text(
    "delete from adoption_keys where brand_id = :brand_id and channel_id = :channel_id"
    " and item_id = any(cast(:item_ids as text[]))"
)
_THEIRS: Final = (
    "select t.platform_item_id, t.gtin_key, t.link_key, t.state from platform_items t"
    f" where t.brand_id = :brand_id and t.channel_id = :channel_id and {_FREE}"
)
_ALL_THEIRS: Final = text(
    f"{_THEIRS} and (exists (select 1 from adoption_keys k where k.channel_id = t.channel_id"
    " and k.platform_id = t.platform_item_id and k.platform_id <> '')"
    " or exists (select 1 from adoption_keys k where k.channel_id = t.channel_id"
    " and k.gtin_key = t.gtin_key and k.gtin_key <> '')"
    " or exists (select 1 from adoption_keys k where k.channel_id = t.channel_id"
    " and k.link_key = t.link_key and k.link_key <> ''))"
)
_SOME_THEIRS: Final = text(
    f"{_THEIRS} and (t.platform_item_id = any(cast(:ids as text[]))"
    " or (t.gtin_key <> '' and t.gtin_key = any(cast(:gtins as text[])))"
    " or (t.link_key <> '' and t.link_key = any(cast(:links as text[]))))"
)
_SOME_OURS: Final = text(
    "select k.item_id, k.platform_id, k.gtin_key, k.link_key, exists (select 1 from channel_ids c"
    " where c.brand_id = k.brand_id and c.channel_id = k.channel_id and c.item_id = k.item_id) as settled"
    " from adoption_keys k where k.brand_id = :brand_id and k.channel_id = :channel_id"
    " and ((k.platform_id <> '' and k.platform_id = any(cast(:ids as text[])))"
    " or (k.gtin_key <> '' and k.gtin_key = any(cast(:gtins as text[])))"
    " or (k.link_key <> '' and k.link_key = any(cast(:links as text[]))))"
    " and not exists (select 1 from platform_items p where p.brand_id = k.brand_id and p.channel_id = k.channel_id"
    " and p.item_id = k.item_id)"
)
_PLANNED: Final = text(
    "select item_id, platform_item_id, how from platform_items where brand_id = :brand_id"
    " and channel_id = :channel_id and item_id = any(cast(:item_ids as text[])) and state = 'adopted'"
)
_MATCHED: Final = {"platform_item_ids": "text", "item_ids": "text", "hows": "text"}
_ADOPT: Final = text(
    "update platform_items t set state = 'adopted', how = m.how, item_id = m.item_id, reason = null,"
    " decided_at = :now, decided_by = :by"
    f" from (select * from {arrays(_MATCHED)}) as m (platform_item_id, item_id, how)"
    " where t.brand_id = :brand_id and t.channel_id = :channel_id and t.platform_item_id = m.platform_item_id"
    f" and {_FREE} returning t.platform_item_id"
)
_DOUBTED: Final = {"platform_item_ids": "text", "reasons": "text"}
_DOUBT: Final = text(
    "update platform_items t set state = 'ambiguous', reason = cast(d.reason as jsonb)"
    f" from (select * from {arrays(_DOUBTED)}) as d (platform_item_id, reason)"
    " where t.brand_id = :brand_id and t.channel_id = :channel_id and t.platform_item_id = d.platform_item_id"
    " and t.state in ('stranger', 'ambiguous')"
)
_CLEAR_DOUBTS: Final = text(
    "update platform_items set state = 'stranger', reason = null where brand_id = :brand_id"
    " and channel_id = :channel_id and state = 'ambiguous'"
    " and not platform_item_id = any(cast(:kept as text[]))"
)
_SET: Final = text(
    "update platform_items set state = :state, reason = cast(:reason as jsonb), decided_at = :now, decided_by = :by,"
    " tries = 0 where brand_id = :brand_id and channel_id = :channel_id"
    " and platform_item_id = any(cast(:ids as text[])) and state = any(cast(:was as text[]))"
    " returning platform_item_id"
)
_GET: Final = text(
    "select platform_item_id, state, item_id, title from platform_items where brand_id = :brand_id"
    " and channel_id = :channel_id and platform_item_id = any(cast(:ids as text[]))"
    " order by platform_item_id for update"
)
_STRANGERS: Final = text(
    "select platform_item_id, state, item_id, title from platform_items where brand_id = :brand_id"
    " and channel_id = :channel_id and state in ('stranger', 'left') order by platform_item_id limit :limit for update"
)
_PAGE: Final = text(
    "select platform_item_id, title, link, state, how, item_id, reason, listed_at, decided_at, decided_by"
    " from platform_items where brand_id = :brand_id and channel_id = :channel_id"
    " and (cast(:state as text) is null or state = :state) and platform_item_id > :after"
    " order by platform_item_id limit :limit"
)
_COUNTS: Final = text(
    "select state, how, count(*) as items from platform_items where brand_id = :brand_id"
    " and channel_id = :channel_id group by state, how"
)
_REMOVING: Final = text(
    "select t.platform_item_id, t.tries from platform_items t where t.brand_id = :brand_id"
    " and t.channel_id = :channel_id and t.state = 'removing' order by t.platform_item_id limit :limit"
)
_TRIED: Final = text(
    "update platform_items set tries = tries + 1 where brand_id = :brand_id and channel_id = :channel_id"
    " and state = 'removing' and platform_item_id = any(cast(:ids as text[])) returning platform_item_id"
)
_REVIEWED: Final = text(
    "select item_id from channel_items where brand_id = :brand_id and channel_id = :channel_id and item_id > :after"
    " and state = 'invalid' and causes->'why'->0->>'code' = :code order by item_id limit :limit"
)

_NAMED: Final = text(
    "select item_id from channel_ids where brand_id = :brand_id and channel_id = :channel_id"
    " and item_id = any(cast(:item_ids as text[])) union select item_id from platform_items"
    " where brand_id = :brand_id and channel_id = :channel_id and item_id = any(cast(:item_ids as text[]))"
)


def _key(channel: Channel) -> dict[str, Any]:
    return {"brand_id": channel.brand_id, "channel_id": channel.channel_id}


async def add(
    tx: WriteSession, channel: Channel, listed: Sequence[ListedItem], *, generation: int, now: datetime
) -> None:
    """What goes by an id of ours already is ours, and left out."""
    rows = {
        one.platform_item_id: (
            *_key(channel).values(),
            one.platform_item_id,
            generation,
            one.title,
            one.link,
            gtin_key(one.gtin),
            link_key(one.link),
            "stranger",
            now,
        )
        for one in listed
    }
    await _ADD.rows(tx, [rows[key] for key in sorted(rows)])


async def drop_stale(tx: WriteSession, channel: Channel, generation: int) -> None:
    """What the newest listing did not have is not there any more."""
    await tx.execute(_DROP_STALE, _key(channel) | {"generation": generation})


async def forget(tx: WriteSession, channel: Channel) -> None:
    """Another catalog than before: nothing of what was known holds."""
    await tx.execute(_FORGET_ITEMS, _key(channel))
    await tx.execute(_FORGET_KEYS, _key(channel))


async def unmatch(tx: WriteSession, channel: Channel) -> None:
    """Before anything was sent: our items get other ids, so they are matched anew."""
    await tx.execute(_UNMATCH, _key(channel))
    await tx.execute(_FORGET_KEYS, _key(channel))


async def save_keys(tx: WriteSession, channel: Channel, ours: Iterable[Ours]) -> None:
    rows = [
        (*_key(channel).values(), one.item_id, one.platform_id, one.gtin, one.link)
        for one in sorted(ours, key=lambda one: one.item_id)
    ]
    await _SAVE_KEYS.rows(tx, rows)


async def drop_keys(tx: WriteSession, channel: Channel, item_ids: Sequence[str]) -> None:
    if item_ids:
        await tx.execute(_DROP_KEYS, _key(channel) | {"item_ids": list(item_ids)})


async def theirs(tx: ReadSession, channel: Channel, near: Sequence[Ours] | None) -> list[Theirs]:
    """What nobody claims and shares a key with these items of ours; None: with any."""
    if near is None:
        rows = await tx.all(_ALL_THEIRS, _key(channel))
    else:
        rows = await tx.all(
            _SOME_THEIRS,
            _key(channel)
            | {
                "ids": [one.platform_id for one in near if one.platform_id],
                "gtins": [one.gtin for one in near if one.gtin],
                "links": [one.link for one in near if one.link],
            },
        )
    return [Theirs(r.platform_item_id, r.gtin_key, r.link_key, left=r.state == "left") for r in rows]


async def ours(tx: ReadSession, channel: Channel, found: Sequence[Theirs]) -> list[Ours]:
    """Our items that share a key with these, and have no counterpart yet."""
    keys = {
        "ids": [one.platform_item_id for one in found],
        "gtins": [one.gtin for one in found if one.gtin],
        "links": [one.link for one in found if one.link],
    }
    rows = await tx.all(_SOME_OURS, _key(channel) | keys)
    return [Ours(r.item_id, r.platform_id, r.gtin_key, r.link_key, settled=r.settled) for r in rows]


async def planned(tx: ReadSession, channel: Channel, item_ids: Sequence[str]) -> dict[str, Match]:
    rows = await tx.all(_PLANNED, _key(channel) | {"item_ids": list(item_ids)})
    return {r.item_id: Match(r.item_id, r.platform_item_id, How(r.how)) for r in rows}


async def adopt(
    tx: WriteSession, channel: Channel, matches: Sequence[Match], *, now: datetime, by: str = ""
) -> set[str]:
    """Answers the platform ids that were free and are taken now."""
    if not matches:
        return set()
    ordered = sorted(matches, key=lambda one: one.platform_item_id)
    params = transpose(_MATCHED, [(m.platform_item_id, m.item_id, m.how.value) for m in ordered])
    rows = await tx.all(_ADOPT, _key(channel) | params | {"now": now, "by": by})
    return {row.platform_item_id for row in rows}


async def doubt(tx: WriteSession, channel: Channel, doubts: Sequence[tuple[str, Reason]]) -> None:
    if doubts:
        rows = [
            (platform_id, json.dumps(asdict(reason)))
            for platform_id, reason in sorted(doubts, key=lambda d: d[0])
        ]
        await tx.execute(_DOUBT, _key(channel) | transpose(_DOUBTED, rows))


async def clear_doubts(tx: WriteSession, channel: Channel, kept: Sequence[str]) -> None:
    """What is in doubt no longer is a stranger."""
    await tx.execute(_CLEAR_DOUBTS, _key(channel) | {"kept": list(kept)})


async def change(
    tx: WriteSession,
    channel: Channel,
    ids: Sequence[str],
    *,
    was: Sequence[str],
    state: str,
    now: datetime,
    by: str = "",
    reason: Reason | None = None,
) -> set[str]:
    """Answers those that were in one of the states `was`."""
    if not ids:
        return set()
    params = {
        "ids": sorted(ids),
        "was": list(was),
        "state": state,
        "now": now,
        "by": by,
        "reason": json.dumps(asdict(reason)) if reason else None,
    }
    return {row.platform_item_id for row in await tx.all(_SET, _key(channel) | params)}


async def lock_items(tx: WriteSession, channel: Channel, ids: Sequence[str]) -> dict[str, Row[Any]]:
    rows = await tx.all(_GET, _key(channel) | {"ids": list(ids)})
    return {row.platform_item_id: row for row in rows}


async def lock_strangers(tx: WriteSession, channel: Channel, *, limit: int) -> Sequence[Row[Any]]:
    return await tx.all(_STRANGERS, _key(channel) | {"limit": limit})


async def page(
    tx: ReadSession, channel: Channel, *, state: str | None, after: str, limit: int
) -> Sequence[Row[Any]]:
    return await tx.all(_PAGE, _key(channel) | {"state": state, "after": after, "limit": limit})


async def counts(tx: ReadSession, channel: Channel) -> dict[tuple[str, str], int]:
    """Items by state and how they were matched."""
    return {(row.state, row.how): row.items for row in await tx.all(_COUNTS, _key(channel))}


async def removing(tx: ReadSession, channel: Channel, *, limit: int) -> dict[str, int]:
    """Approved removals that are not known to be carried out, with how often they were sent."""
    rows = await tx.all(_REMOVING, _key(channel) | {"limit": limit})
    return {row.platform_item_id: row.tries for row in rows}


async def tried(tx: WriteSession, channel: Channel, ids: Sequence[str]) -> set[str]:
    """Those that may still be removed: an item of ours may have adopted one meanwhile."""
    rows = await tx.all(_TRIED, _key(channel) | {"ids": sorted(ids)})
    return {row.platform_item_id for row in rows}


async def waiting(tx: ReadSession, channel: Channel, *, code: str, after: str, limit: int) -> list[str]:
    """Items of ours that cannot be sent for this reason."""
    rows = await tx.all(_REVIEWED, _key(channel) | {"code": code, "after": after, "limit": limit})
    return [row.item_id for row in rows]


async def named(tx: ReadSession, channel: Channel, item_ids: Sequence[str]) -> list[str]:
    """Items of ours that go by an id on the channel, or have taken one of the platform's over."""
    rows = await tx.all(_NAMED, _key(channel) | {"item_ids": list(item_ids)})
    return [row.item_id for row in rows]
