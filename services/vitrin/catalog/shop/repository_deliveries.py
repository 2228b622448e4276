"""SQL of what came from shops: each delivery once, in order per subject, and what became of it."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from vitrin.catalog.shop.packing import ShopKey, row_aad
from vitrin.kit.crypto import CannotOpen, Sealed, TokenCipher
from vitrin.kit.db.rows import row_source
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ConnectionId

KEEP_ROWS: Final = timedelta(days=30)
KEEP_FAILED_BODIES: Final = timedelta(days=7)
RETIRED_AT_ONCE: Final = 1_000
_COLUMNS: Final = {
    "brand_id": "uuid",
    "connection_id": "uuid",
    "delivery_id": "text",
    "platform": "text",
    "topic": "text",
    "kind": "text",
    "subject": "text",
    "received_at": "timestamptz",
    "body_bytes": "integer",
    "key_id": "text",
    "nonce": "bytea",
    "ciphertext": "bytea",
}
_NAMES: Final = ", ".join(_COLUMNS)
_OPEN: Final = "state in ('pending', 'failed')"
_KEY: Final = "brand_id = :brand_id and connection_id = :connection_id"
_DUE: Final = text(
    f"select delivery_id, seq, platform, topic, kind, subject, received_at, tries from shop_deliveries d where d.{_KEY}"
    f" and d.{_OPEN} and d.due_at <= :now and not exists (select from shop_deliveries earlier"
    " where earlier.connection_id = d.connection_id and earlier.subject = d.subject and earlier.seq < d.seq"
    f" and earlier.{_OPEN} and earlier.due_at > :now) order by seq limit :limit"
)
_BODY: Final = text(
    f"select key_id, nonce, ciphertext from shop_deliveries where {_KEY} and delivery_id = :delivery_id"
)
_HOLD: Final = text(
    f"select delivery_id from shop_deliveries where {_KEY} and delivery_id = :delivery_id and {_OPEN} for update"
)
_BODIES: Final = text(
    f"select delivery_id, key_id, nonce, ciphertext from shop_deliveries where {_KEY}"
    " and delivery_id = any(cast(:ids as text[])) and key_id is not null"
)
_HOLD_ALL: Final = text(
    f"select delivery_id from shop_deliveries where {_KEY} and delivery_id = any(cast(:ids as text[])) and {_OPEN}"
    " order by delivery_id for update"
)
_NO_BODY: Final = "key_id = null, nonce = null, ciphertext = null"
_FINISH: Final = text(
    f"update shop_deliveries set state = :state, kind = :kind, tries = :tries, due_at = :due_at,"
    " finished_at = :finished_at, problem = cast(:problem as jsonb),"
    " key_id = case when :keep_body then key_id end, nonce = case when :keep_body then nonce end,"
    " ciphertext = case when :keep_body then ciphertext end"
    f" where {_KEY} and delivery_id = :delivery_id and {_OPEN}"
)
_FINISH_APPLIED: Final = text(
    f"update shop_deliveries set state = 'applied', kind = :kind, due_at = null, finished_at = :now, problem = null,"
    f" {_NO_BODY} where {_KEY} and delivery_id = any(cast(:ids as text[])) and {_OPEN}"
)
_NEXT: Final = text(f"select min(due_at) from shop_deliveries where {_KEY} and {_OPEN}")
_WAKE_WAITING: Final = text(
    f"update shop_deliveries set state = 'pending', due_at = :now, problem = null, finished_at = null where {_KEY}"
    " and state = 'waiting' and kind = any(cast(:kinds as text[]))"
)
_HURRY: Final = text(
    f"update shop_deliveries set due_at = :now where {_KEY} and state = 'failed' and due_at > :now"
)
_FORGET_BODIES: Final = text(
    f"update shop_deliveries set {_NO_BODY} where {_KEY} and delivery_id in (select delivery_id from"
    f" shop_deliveries where {_KEY} and received_at < :before and state = 'dead' and key_id is not null"
    " limit :limit)"
)
_FORGET: Final = text(
    f"delete from shop_deliveries where {_KEY} and delivery_id in (select delivery_id from shop_deliveries"
    f" where {_KEY} and received_at < :before limit :limit)"
)
_SHOWN: Final = (
    "delivery_id, seq, topic, kind, subject, received_at, state, tries, due_at, finished_at, problem, body_bytes,"
    " key_id is not null as has_body"
)
_PAGE: Final = text(
    f"select {_SHOWN} from shop_deliveries where {_KEY}"
    " and (cast(:state as text) is null or state = :state) and (cast(:before as bigint) is null or seq < :before)"
    " order by seq desc limit :limit"
)
_GET: Final = text(f"select {_SHOWN} from shop_deliveries where {_KEY} and delivery_id = :delivery_id")
_REPLAY: Final = text(
    "update shop_deliveries set state = 'pending', tries = 0, due_at = :now, finished_at = null, problem = null"
    f" where {_KEY} and delivery_id = :delivery_id and state in ('dead', 'failed', 'waiting') and key_id is not null"
)
_SET_ASIDE: Final = text(
    "insert into shop_deliveries (brand_id, connection_id, delivery_id, platform, topic, kind, subject, received_at,"
    " state, finished_at, problem, body_bytes) values (:brand_id, :connection_id, :delivery_id, :platform,"
    " 'reconcile', :kind, :subject, :now, 'dead', :now, cast(:problem as jsonb), 0)"
    " on conflict (brand_id, connection_id, delivery_id) do update set received_at = excluded.received_at,"
    " finished_at = excluded.finished_at, problem = excluded.problem"
)
_COUNTS: Final = text(f"select state, count(*) as number from shop_deliveries where {_KEY} group by state")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """`packed` is sealed here, bound to its row."""

    key: ShopKey
    delivery_id: str
    platform: str
    topic: str
    kind: str
    subject: str
    received_at: datetime
    packed: bytes = field(repr=False)
    body_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One that is to be applied."""

    key: ShopKey
    delivery_id: str
    seq: int
    platform: str
    topic: str
    kind: str
    subject: str
    received_at: datetime
    tries: int


def _params(key: ShopKey) -> dict[str, Any]:
    return {"brand_id": key[0], "connection_id": key[1]}


async def add(
    tx: WriteSession, news: Sequence[NewDelivery], *, cipher: TokenCipher, now: datetime
) -> list[tuple[ShopKey, str]]:
    """Those that were not there yet, in the order given."""
    rows = []
    for one in news:
        sealed = cipher.seal_bytes(one.packed, row_aad(one.key, one.delivery_id))
        rows.append(
            (
                *one.key,
                one.delivery_id,
                one.platform,
                one.topic,
                one.kind,
                one.subject,
                one.received_at,
                one.body_bytes,
                sealed.key_id,
                sealed.nonce,
                sealed.ciphertext,
            )
        )
    columns = {"place": "integer", **_COLUMNS}
    source = await row_source(
        tx, "new_deliveries", columns, [(place, *row) for place, row in enumerate(rows)]
    )
    added = await tx.all(
        text(
            f"insert into shop_deliveries ({_NAMES}, state, due_at) select {_NAMES}, 'pending', :now"
            f" from {source.sql} order by place on conflict do nothing returning brand_id, connection_id, delivery_id"
        ),
        source.params | {"now": now},
    )
    return [((BrandId(row.brand_id), ConnectionId(row.connection_id)), row.delivery_id) for row in added]


async def due(tx: ReadSession, key: ShopKey, *, now: datetime, limit: int) -> list[Delivery]:
    """In the order of their coming; none of a subject of which an earlier one rests."""
    rows = await tx.all(_DUE, _params(key) | {"now": now, "limit": limit})
    return [Delivery(key=key, **row._mapping) for row in rows]


async def body(tx: ReadSession, delivery: Delivery, *, cipher: TokenCipher) -> bytes:
    """Raises CannotOpen."""
    row = await tx.one_or_none(_BODY, _params(delivery.key) | {"delivery_id": delivery.delivery_id})
    if row is None or row.key_id is None:
        raise CannotOpen("the body is gone")
    sealed = Sealed(row.key_id, bytes(row.nonce), bytes(row.ciphertext))
    return cipher.open_bytes(sealed, row_aad(delivery.key, delivery.delivery_id))


async def bodies(
    tx: ReadSession, key: ShopKey, deliveries: Sequence[Delivery], *, cipher: TokenCipher
) -> dict[str, bytes]:
    """Of those whose body is there and can be opened."""
    found: dict[str, bytes] = {}
    for row in await tx.all(_BODIES, _params(key) | {"ids": [one.delivery_id for one in deliveries]}):
        sealed = Sealed(row.key_id, bytes(row.nonce), bytes(row.ciphertext))
        with suppress(CannotOpen):
            found[row.delivery_id] = cipher.open_bytes(sealed, row_aad(key, row.delivery_id))
    return found


async def hold_all(tx: WriteSession, key: ShopKey, ids: Sequence[str]) -> set[str]:
    """Locks them; those that somebody else has finished are not among them."""
    return {row.delivery_id for row in await tx.all(_HOLD_ALL, _params(key) | {"ids": list(ids)})}


async def hold(tx: WriteSession, delivery: Delivery) -> bool:
    """Locks it; False when somebody else has finished it."""
    params = _params(delivery.key) | {"delivery_id": delivery.delivery_id}
    return await tx.one_or_none(_HOLD, params) is not None


async def finish(
    tx: WriteSession,
    delivery: Delivery,
    *,
    state: str,
    kind: str,
    tries: int,
    now: datetime,
    due_at: datetime | None,
    problem: Mapping[str, object] | None,
) -> None:
    """With `due_at` it comes again. The body goes with the last word on it, unless somebody may want to replay it."""
    await tx.execute(
        _FINISH,
        _params(delivery.key)
        | {
            "delivery_id": delivery.delivery_id,
            "state": state,
            "kind": kind,
            "tries": tries,
            "due_at": due_at,
            "finished_at": None if due_at is not None or state == "waiting" else now,
            "problem": None if problem is None else json.dumps(problem),
            "keep_body": state in ("failed", "pending", "dead", "waiting"),
        },
    )


async def finish_applied(
    tx: WriteSession, key: ShopKey, ids: Sequence[str], *, kind: str, now: datetime
) -> None:
    """Many of which nothing more is to be said."""
    await tx.execute(_FINISH_APPLIED, _params(key) | {"ids": list(ids), "kind": kind, "now": now})


async def next_due(tx: ReadSession, key: ShopKey) -> datetime | None:
    found: datetime | None = await tx.scalar(_NEXT, _params(key))
    return found


async def wake_waiting(tx: WriteSession, key: ShopKey, *, kinds: Sequence[str], now: datetime) -> int:
    """Kinds that this release knows what to do with."""
    changed = await tx.execute(_WAKE_WAITING, _params(key) | {"kinds": list(kinds), "now": now})
    return int(changed.rowcount)


async def hurry(tx: WriteSession, key: ShopKey, *, now: datetime) -> int:
    """Those that rest between two tries need not wait any longer."""
    changed = await tx.execute(_HURRY, _params(key) | {"now": now})
    return int(changed.rowcount)


async def retire(tx: WriteSession, key: ShopKey, *, now: datetime) -> int:
    """Some of what is older than its time; how many it were."""
    params = _params(key) | {"limit": RETIRED_AT_ONCE}
    bodies = await tx.execute(_FORGET_BODIES, params | {"before": now - KEEP_FAILED_BODIES})
    rows = await tx.execute(_FORGET, params | {"before": now - KEEP_ROWS})
    return int(bodies.rowcount) + int(rows.rowcount)


async def page(
    tx: ReadSession, key: ShopKey, *, state: str | None, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """The newest first."""
    rows = await tx.all(_PAGE, _params(key) | {"state": state, "before": before, "limit": limit})
    return [dict(row._mapping) for row in rows]


async def get(tx: ReadSession, key: ShopKey, delivery_id: str) -> dict[str, Any] | None:
    row = await tx.one_or_none(_GET, _params(key) | {"delivery_id": delivery_id})
    return None if row is None else dict(row._mapping)


async def replay(tx: WriteSession, key: ShopKey, delivery_id: str, *, now: datetime) -> bool:
    """False where it is not one that failed, or its body is gone."""
    changed = await tx.execute(_REPLAY, _params(key) | {"delivery_id": delivery_id, "now": now})
    return bool(changed.rowcount == 1)


async def set_aside(
    tx: WriteSession,
    key: ShopKey,
    *,
    platform: str,
    kind: str,
    subject: str,
    problem: Mapping[str, object],
    now: datetime,
) -> None:
    """Something that a reconcile read and could not take, listed as a dead delivery without a body."""
    params = {
        "delivery_id": f"reconcile:{subject}",
        "platform": platform,
        "kind": kind,
        "subject": subject,
        "problem": json.dumps(problem),
        "now": now,
    }
    await tx.execute(_SET_ASIDE, _params(key) | params)


async def counts(tx: ReadSession, key: ShopKey) -> dict[str, int]:
    return {row.state: row.number for row in await tx.all(_COUNTS, _params(key))}
