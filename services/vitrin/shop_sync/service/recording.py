"""Moving items and remembering it: row, timeline, lag and event of one transaction, saved together."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal
from uuid import UUID

from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import ChannelId
from vitrin.shop_sync.domain.adoption import Match
from vitrin.shop_sync.domain.schedule import milliseconds
from vitrin.shop_sync.domain.sync import Facts, State, settle
from vitrin.shop_sync.domain.values import Channel, ChannelItem, LagSample, Step
from vitrin.shop_sync.domain.words import adopted, summary
from vitrin.shop_sync.events import status_changed
from vitrin.shop_sync.repository import items, records
from vitrin.shop_sync.service import metrics


class Recorder:
    """Collects what happens to locked items in one transaction; `flush` saves it in a few statements."""

    def __init__(self, channels: Mapping[ChannelId, Channel], now: datetime) -> None:
        self._channels = channels
        self._now = now
        self._items: dict[tuple[ChannelId, str], ChannelItem] = {}
        self._news: dict[tuple[ChannelId, str], ChannelItem] = {}
        self._steps: list[Step] = []
        self._lags: list[LagSample] = []

    def move(
        self, row: ChannelItem, facts: Facts, *, attempt_id: UUID | None = None, lag_ms: int | None = None
    ) -> None:
        """Give the row its new facts; a change of state or reasons becomes a step and an event.

        What was accepted always has a time of the next look, and what is settled has no change that waits."""
        before, after = row.settled, settle(facts)
        row.facts, row.settled = facts, after
        if after.state is State.ACCEPTED and row.read_back_at is None:
            row.read_back_at, row.read_back_tries = self._now, 0
        if after.lane is None and facts.in_flight is None:
            row.changed = None
        if after.lane is None:
            row.pending_at = None
        elif before.lane is None or row.pending_at is None:
            row.pending_at = self._now
        key = (row.channel_id, row.item_id)
        self._items[key] = row
        if row.version > 0 and (before.state, before.reasons) == (after.state, after.reasons):
            return
        row.version += 1
        self._news[key] = row
        channel = self._channels[row.channel_id]
        metrics.TRANSITIONS.labels(channel.platform, after.state.value).inc()
        self._steps.append(
            Step(
                at=self._now,
                brand_id=row.brand_id,
                item_id=row.item_id,
                channel_id=row.channel_id,
                platform=channel.platform,
                step=after.state.value,
                actor=row.actor,
                summary=summary(
                    after.state, platform=channel.platform, reasons=after.reasons, lane=after.lane
                ),
                reasons=after.reasons,
                content_version=row.content_version,
                offer_version=row.offer_version,
                attempt_id=attempt_id,
                lag_ms=lag_ms,
            )
        )

    def adopted(self, row: ChannelItem, match: Match) -> None:
        """A line of its own: which item of the platform the row goes by from now on, and what told so."""
        platform = self._channels[row.channel_id].platform
        self._steps.append(
            Step(
                at=self._now,
                brand_id=row.brand_id,
                item_id=row.item_id,
                channel_id=row.channel_id,
                platform=platform,
                step="adopted",
                actor=row.actor,
                summary=adopted(platform, match.platform_item_id, match.how),
                content_version=row.content_version,
                offer_version=row.offer_version,
            )
        )

    def measure(self, row: ChannelItem, kind: Literal["accepted", "seen"]) -> int | None:
        """A lag sample from the change that the last send carried; milliseconds since it was made in the shop."""
        if row.flight is None:
            return None
        occurred_ms = milliseconds(row.flight.occurred_at, self._now)
        received_ms = milliseconds(row.flight.received_at, self._now)
        platform = self._channels[row.channel_id].platform
        metrics.LAG.labels(platform, kind).observe(received_ms / 1000)
        self._lags.append(
            LagSample(
                at=self._now,
                brand_id=row.brand_id,
                channel_id=row.channel_id,
                item_id=row.item_id,
                kind=kind,
                occurred_ms=occurred_ms,
                received_ms=received_ms,
            )
        )
        return occurred_ms

    def not_shown(self, row: ChannelItem, step: Literal["sent_again", "given_up"]) -> None:
        metrics.NOT_SHOWN.labels(self._channels[row.channel_id].platform, step).inc()

    async def flush(self, tx: WriteSession) -> None:
        await items.save(tx, list(self._items.values()), self._now)
        await records.save_steps(tx, self._steps)
        await records.save_lags(tx, self._lags)
        for row in self._news.values():
            event = status_changed(self._channels[row.channel_id], row, self._now)
            if event is not None:
                tx.publish(event)
