"""Timeline and lag samples: written once, never changed, dropped by day."""

import json
from collections.abc import Sequence
from typing import Final

from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import new_uuid
from vitrin.shop_sync.domain import sync
from vitrin.shop_sync.domain.values import LagSample, Step
from vitrin.shop_sync.repository.bulk import Insert

_STEPS: Final = {
    "at": "timestamptz",
    "id": "uuid",
    "brand_id": "uuid",
    "item_id": "text",
    "channel_id": "uuid",
    "platform": "text",
    "step": "text",
    "actor": "text",
    "summary": "text",
    "reasons": "jsonb",
    "content_version": "bigint",
    "offer_version": "bigint",
    "attempt_id": "uuid",
    "lag_ms": "bigint",
}
_LAGS: Final = {
    "at": "timestamptz",
    "id": "uuid",
    "brand_id": "uuid",
    "channel_id": "uuid",
    "item_id": "text",
    "kind": "text",
    "occurred_ms": "bigint",
    "received_ms": "bigint",
}
_SAVE_STEPS: Final = Insert("timeline", _STEPS)
_SAVE_LAGS: Final = Insert("lag_samples", _LAGS)


async def save_steps(tx: WriteSession, steps: Sequence[Step]) -> None:
    rows = [
        (
            step.at,
            new_uuid(),
            step.brand_id,
            step.item_id,
            step.channel_id,
            step.platform,
            step.step,
            step.actor,
            step.summary,
            json.dumps(sync.as_json(step.reasons)),
            step.content_version,
            step.offer_version,
            step.attempt_id,
            step.lag_ms,
        )
        for step in steps
    ]
    if rows:
        await _SAVE_STEPS.rows(tx, rows)


async def save_lags(tx: WriteSession, samples: Sequence[LagSample]) -> None:
    rows = [
        (s.at, new_uuid(), s.brand_id, s.channel_id, s.item_id, s.kind, s.occurred_ms, s.received_ms)
        for s in samples
    ]
    if rows:
        await _SAVE_LAGS.rows(tx, rows)
