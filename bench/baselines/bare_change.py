"""The domain change of P10 and its bare form: one psycopg pipeline, binary parameters, no outbox.

The change is what catalog does when prices change: lock the items, raise their versions, write their offers; the brand
is set first, row-level security holds. Both sides of the claim run exactly these statements, pipelined.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

LOCK = """
select item_id, offer_version from items
where brand_id = %(brand)b and item_id = any(%(ids)b) order by item_id for update
"""
VERSIONS = """
update items set offer_version = new.offer_version, updated_at = %(now)b
from unnest(%(ids)b::text[], %(versions)b::bigint[]) as new(item_id, offer_version)
where items.brand_id = %(brand)b and items.item_id = new.item_id
"""
OFFERS = """
insert into offers (brand_id, market, updated_at, item_id, currency, price_minor, effective_availability,
                    inventory_policy, offer_version)
select %(brand)b, 'DE', %(now)b, new.item_id, 'EUR', new.price_minor, 'in_stock', 'deny', new.offer_version
from unnest(%(ids)b::text[], %(prices)b::bigint[], %(versions)b::bigint[]) as new(item_id, price_minor, offer_version)
on conflict (brand_id, item_id, market) do update set updated_at = excluded.updated_at,
    currency = excluded.currency, price_minor = excluded.price_minor,
    effective_availability = excluded.effective_availability, inventory_policy = excluded.inventory_policy,
    offer_version = excluded.offer_version
"""
CHANGE = (LOCK, VERSIONS, OFFERS)
_SCOPE = "select set_config('app.brand', %(brand_text)b, true)"


def parameters(brand: UUID, ids: Sequence[str], *, version: int) -> Mapping[str, Any]:
    return {
        "brand": brand,
        "brand_text": str(brand),
        "ids": list(ids),
        "versions": [version] * len(ids),
        "prices": [1_000 + version % 1_000] * len(ids),
        "now": datetime.now(UTC),
    }


class BareWriter:
    """One connection; `change` is one transaction, all of it in one pipeline with one wait at its end."""

    def __init__(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        self._connection = connection

    async def change(self, values: Mapping[str, Any]) -> None:
        async with self._connection.pipeline(), self._connection.transaction():
            await self._connection.execute(_SCOPE, values)
            for statement in CHANGE:
                await self._connection.execute(statement, values)
