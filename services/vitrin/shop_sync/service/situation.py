"""What one look at the database says of a claimed channel, and when it wants somebody next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vitrin.kit.db.session import ReadSession
from vitrin.shop_sync.domain import schedule
from vitrin.shop_sync.domain.values import Attempt, Channel, Claim, Due, Gate, Waits
from vitrin.shop_sync.repository import channels, work


@dataclass(frozen=True, slots=True)
class Situation:
    """`read_back_at`: not before the platform's rate has room for one more look."""

    channel: Channel
    gate: Gate
    attempts: Sequence[Attempt]
    due: Due
    read_back_at: datetime | None

    @property
    def decides_first(self) -> bool:
        """Taking stock is in trouble: meanwhile items are decided, so that each says that it waits."""
        taking = self.channel.stock == "taking"
        return taking and self.due.stock_trouble and self.channel.sync_finished_at is None

    def send_at(self, now: datetime, waits: Waits) -> datetime | None:
        """When the next batch may go; None when nothing waits."""
        gate, slow_at = schedule.send_at(now, self.gate.send_after), self.due.slow_at(now)
        times = []
        if self.due.prices_at is not None:
            times.append(gate + timedelta(seconds=waits.fast_s))
        if slow_at is not None:
            times.append(max(gate, slow_at) + timedelta(seconds=waits.slow_s))
        return min(times, default=None)

    def due_at(self, now: datetime, waits: Waits) -> datetime | None:
        times = [attempt.due_at for attempt in self.attempts]
        if self.due.stock_at is not None:
            times.append(max(now, self.due.stock_at))
        if self.decides_first:
            times.append(now)
        if self.channel.stock == "taking":
            return min(times, default=None)
        send_at = self.send_at(now, waits)
        if send_at is not None:
            times.append(send_at)
        if self.read_back_at is not None:
            times.append(self.read_back_at)
        if self.channel.sync_finished_at is None:
            times.append(now)
        return min(times, default=None)


async def situation(tx: ReadSession, claim: Claim, *, read_back_from: datetime) -> Situation | None:
    """None when the claim is no longer ours, or the channel is gone."""
    found = await channels.situation(tx, claim)
    if found is None:
        return None
    channel, gate, due = found
    attempts = await work.attempts_of(tx, claim.brand_id, claim.channel_id)
    read_back_at = None if due.read_back_at is None else max(due.read_back_at, read_back_from)
    return Situation(channel, gate, attempts, due, read_back_at)
