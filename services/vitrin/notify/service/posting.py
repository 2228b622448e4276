"""One message to one channel: everything that is due there, its outcome, and the log of both.

The place is called without a transaction. A process that is killed in between leaves its deliveries pending under a
claim that runs out: they go again, with the same Message-ID.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from vitrin.kit.attention import Concern
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import CannotOpen
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.repeat import repeated
from vitrin.kit.db.session import WriteSession
from vitrin.kit.logs import get_logger
from vitrin.notify.domain.posting import (
    CODES_PER_WINDOW,
    MESSAGE_NOTICES_MAX,
    RATE_WINDOW,
    Posted,
    free_at,
)
from vitrin.notify.domain.register import CHANNEL_DISABLED, Severity
from vitrin.notify.domain.routing import after_quiet
from vitrin.notify.domain.schedule import Schedule
from vitrin.notify.repository import channels, posts
from vitrin.notify.repository.posts import Claim
from vitrin.notify.service import metrics_notices as metrics
from vitrin.notify.service import wording
from vitrin.notify.service.mail import Mailer
from vitrin.notify.service.notices import Notices
from vitrin.notify.service.routes import routing_of
from vitrin.notify.service.slack import SlackPoster
from vitrin.notify.service.targets import Targets
from vitrin.notify.service.wording import Letter

CODE: Final = "code"
_SEALED: Final = Posted(
    code="not_readable",
    detail="The sealed address cannot be opened.",
    fix="Ask the operators for the key in NOTIFY_SECRET_KEYS that it was sealed with, or add the channel anew.",
)
_log = get_logger("vitrin.notify.posting")


class _Load(NamedTuple):
    """What goes out now: a code alone, or notices."""

    channel: Any
    rows: Sequence[Any]
    wait_until: datetime | None


class Sender:
    """One letter to one place, whatever its type."""

    def __init__(self, *, targets: Targets, mailer: Mailer, slack: SlackPoster, clock: Clock) -> None:
        self.targets = targets
        self.mailer = mailer
        self._slack = slack
        self._clock = clock

    async def send(self, channel: Any, letter: Letter, message_id: UUID) -> tuple[Posted, int]:
        """And how long it took, in milliseconds."""
        began = time.monotonic()
        posted = await self._send(channel, letter, message_id)
        taken_s = time.monotonic() - began
        metrics.MESSAGES.labels(channel.type, posted.code).inc()
        metrics.MESSAGE_SECONDS.observe(taken_s)
        return posted, round(1000 * taken_s)

    async def _send(self, channel: Any, letter: Letter, message_id: UUID) -> Posted:
        try:
            target = self.targets.open(channel)
        except CannotOpen as reason:
            _log.error("target_not_opened", channel=str(channel.channel_id), reason=str(reason))
            return _SEALED
        if channel.type == "slack":
            return await self._slack.send(target, letter)
        return await self.mailer.send(target, letter, message_id=message_id, now=self._clock())


class Posting:
    """`messages_max`: of a brand in RATE_WINDOW."""

    def __init__(
        self,
        *,
        database: WorkerDatabase,
        sender: Sender,
        notices: Notices,
        schedule: Schedule,
        messages_max: int,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._database = database
        self._sender = sender
        self._notices = notices
        self._schedule = schedule
        self._messages_max = messages_max
        self._clock = clock
        self._chance = chance

    async def work(self, claim: Claim) -> None:
        """One message at most, then the claim is given back."""
        load = await self._load(claim)
        if load.wait_until is not None or not load.rows:
            async with self._database.write([claim.brand_id]) as tx:
                await posts.release(tx, claim, not_before=load.wait_until)
            return
        letter = self._letter(load)
        at = self._clock()
        if letter is None:
            posted, latency_ms = _SEALED, 0
        else:
            posted, latency_ms = await self._sender.send(load.channel, letter, load.rows[0].delivery_id)
        await repeated(lambda: self._save(claim, load, posted, at, latency_ms))

    async def _load(self, claim: Claim) -> _Load:
        now = self._clock()
        async with self._database.read([claim.brand_id]) as tx:
            channel = await channels.get(tx, claim.brand_id, claim.channel_id)
            rows = await posts.take(tx, claim, now=now, limit=MESSAGE_NOTICES_MAX)
            if channel is None or not rows:
                return _Load(channel, (), None)
            sent = await posts.sent_since(tx, claim.brand_id, now - RATE_WINDOW)
            wait_until = free_at(sent, limit=self._messages_max, now=now)
            if rows[0].what == CODE:
                codes = await posts.sent_since(tx, claim.brand_id, now - RATE_WINDOW, purpose=CODE)
                wait_until = wait_until or free_at(codes, limit=CODES_PER_WINDOW, now=now)
                rows = rows[:1]
        return _Load(channel, rows, wait_until)

    def _letter(self, load: _Load) -> Letter | None:
        if load.rows[0].what != CODE:
            return wording.of_notices(load.rows, brand=str(load.channel.brand_id))
        try:
            code = self._sender.targets.code_of(load.channel)
        except CannotOpen:
            code = None
        return None if code is None else wording.of_code(code)

    async def _save(self, claim: Claim, load: _Load, posted: Posted, at: datetime, latency_ms: int) -> None:
        """Whether or not the claim is ours still: what was tried was tried, and a delivery that was dropped or sent
        meanwhile stays so."""
        now, chance = self._clock(), self._chance()
        async with self._database.write([claim.brand_id]) as tx:
            await posts.hold(tx, claim)
            next_at: datetime | None = None
            for row in load.rows:
                again = self._next_try(load.channel, row, posted, at=at, now=now, chance=chance)
                next_at = again if next_at is None else next_at
                if not posted.sent and again is None:
                    metrics.GIVEN_UP.inc()
                await posts.move(tx, _moved(claim, row, posted, at=at, now=now, again=again))
            await posts.log(
                tx,
                {
                    "at": at,
                    "brand_id": claim.brand_id,
                    "channel_id": claim.channel_id,
                    "purpose": CODE if load.rows[0].what == CODE else "notifications",
                    "notice_ids": [row.notice_id for row in load.rows if row.notice_id],
                    "outcome": posted.code,
                    "detail": posted.detail,
                    "fix": posted.fix,
                    "status": posted.status,
                    "latency_ms": latency_ms,
                    "next_try_at": next_at,
                },
            )
            if posted.for_good:
                await self._disable(tx, claim, posted, now)
            await posts.release(tx, claim, not_before=None)

    def _next_try(
        self, channel: Any, row: Any, posted: Posted, *, at: datetime, now: datetime, chance: float
    ) -> datetime | None:
        if posted.sent or posted.for_good:
            return None
        again = self._schedule.next_try(
            tries=row.tries + 1,
            first_at=row.first_tried_at or at,
            now=now,
            chance=chance,
            asked=posted.retry_after,
        )
        if again is None or row.what == CODE:
            return again
        severity: Severity = row.severity if row.what == "opened" else "info"
        return after_quiet(routing_of(channel), severity=severity, moment=again)

    async def _disable(self, tx: WriteSession, claim: Claim, posted: Posted, now: datetime) -> None:
        """Nothing goes there any more: the brand's other channels, its webhooks and the inbox say so."""
        row = await channels.disable(
            tx, claim.brand_id, claim.channel_id, code="gone", reason=posted.detail, now=now
        )
        if row is None:
            return
        await posts.drop(tx, claim.brand_id, claim.channel_id, outcome="channel_disabled", now=now)
        channel = str(claim.channel_id)
        concern = Concern(
            kind=CHANNEL_DISABLED,
            cause=channel,
            severity="warning",
            title=f"Notifications do not reach {row.name or row.target_hint} any more",
            detail=posted.detail,
            fix=posted.fix,
            subject=f"notification_channel:{channel}",
            look_at=f"/v1/notification_channels/{channel}",
        )
        await self._notices.open(tx, claim.brand_id, concern)
        _log.warning("channel_disabled", channel=channel, reason=posted.detail)


def _moved(
    claim: Claim, row: Any, posted: Posted, *, at: datetime, now: datetime, again: datetime | None
) -> dict[str, Any]:
    state = "sent" if posted.sent else "failed" if again is None else "pending"
    return {
        "brand_id": claim.brand_id,
        "delivery_id": row.delivery_id,
        "state": state,
        "at": at,
        "due_at": again,
        "outcome": posted.code,
        "detail": posted.detail,
        "fix": posted.fix,
        "finished_at": None if again else now,
    }


FORGET_AFTER: Final = timedelta(days=30)
