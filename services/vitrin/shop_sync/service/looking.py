"""Looking: polls of handles, looks after an unknown outcome, and read-backs of what was accepted."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import orjson

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.http_client import Priority
from vitrin.platforms.base import CatalogChannel, Endpoint, FailureKind, Outcome, PlatformFailure
from vitrin.shop_sync.domain import schedule
from vitrin.shop_sync.domain.sync import GONE
from vitrin.shop_sync.domain.values import Attempt, Channel, Claim, Gate, unpack
from vitrin.shop_sync.domain.words import VERDICT_OVERDUE
from vitrin.shop_sync.repository import hunts, items, work
from vitrin.shop_sync.service.attention import Attention
from vitrin.shop_sync.service.hunting import Hunting
from vitrin.shop_sync.service.outcomes import Outcomes, Verdicts

READ_BACK_ITEMS_MAX: Final = 200
READ_BACK_FAILURES: Final = 4
"""A look that failed as a whole waits as long as after so many failures, 10 s, where the platform names no time."""
HOPELESS: Final = frozenset({FailureKind.INVALID_REQUEST, FailureKind.TOO_LARGE})
"""Looking again in the same way cannot help."""


class Looker:
    """Looks for one claim of one channel. `read_back_from`: not before the platform's rate has room for a look.
    `shown_within`: another time than the platform's until what it accepted is sent again."""

    def __init__(
        self,
        *,
        claim: Claim,
        database: WorkerDatabase,
        outcomes: Outcomes,
        hunting: Hunting,
        attention: Attention,
        verdict_timeout: timedelta,
        shown_within: timedelta | None,
        clock: Clock,
    ) -> None:
        self._claim = claim
        self._database = database
        self._outcomes = outcomes
        self._hunting = hunting
        self._attention = attention
        self._verdict_timeout = verdict_timeout
        self._shown_within = shown_within
        self._clock = clock
        self.read_back_from = clock()

    async def poll(self, channel: Channel, catalog: CatalogChannel, attempt: Attempt, *, gate: Gate) -> None:
        """What became of a batch that has a handle; `gate`: the channel's, which opens after a batch came through."""
        async with self._database.read([channel.brand_id]) as tx:
            flying = await items.sent(tx, channel.brand_id, attempt.attempt_id)
            stored = await hunts.of_attempt(tx, channel.brand_id, attempt.attempt_id)
        retry_at: datetime | None = None
        try:
            result = await catalog.poll(
                attempt.handle or "", [platform_id for _, platform_id, _, _ in flying]
            )
        except PlatformFailure as failure:
            if failure.kind is FailureKind.INVALID_REQUEST:
                await self._outcomes.unknown(channel, attempt, VERDICT_OVERDUE)
                return
            await self._attention.hear(channel, catalog, failure)
            wait_s = failure.retry_after_s
            retry_at = schedule.next_try(self._clock(), attempt.tries, jitter=0.5, retry_after_s=wait_s)
        else:
            if result.done:
                by_id = {verdict.platform_item_id: verdict for verdict in result.verdicts}
                verdicts = Verdicts(by_id=by_id, final=True, read_back=catalog.capabilities.read_back)
                await self._hunting.answered(channel, attempt, verdicts, stored=stored)
                if all(verdict.outcome is Outcome.UNKNOWN for verdict in result.verdicts):
                    await self._outcomes.send_smaller(channel, self._claim, attempt)
                elif gate.items_max is not None:
                    able = catalog.capabilities.batch_items_max
                    await self._outcomes.went_well(channel, self._claim, through=attempt.items, able=able)
                return
        if self._clock() - attempt.created_at > self._verdict_timeout:
            await self._outcomes.unknown(channel, attempt, VERDICT_OVERDUE)
            return
        due_at = retry_at or schedule.next_poll(self._clock(), attempt.tries + 1)
        await self._outcomes.transaction(
            channel.brand_id,
            lambda tx: work.move(tx, attempt, stage="polling", due_at=due_at, tries=attempt.tries + 1),
        )

    async def look_at_unknown(self, channel: Channel, catalog: CatalogChannel, attempt: Attempt) -> None:
        """What is there arrived, what is not goes again after LOOKS_MAX looks; removals and single prices alike.

        A platform that shows nothing cannot be asked: there the whole item goes again at once, which upserts and
        removals by id bear."""
        if not catalog.capabilities.read_back:
            await self._outcomes.requeue(channel, attempt)
            return
        async with self._database.read([channel.brand_id]) as tx:
            flying = await items.sent(tx, channel.brand_id, attempt.attempt_id)
        expected = {
            platform_id: {} if unpack(hashes) == GONE else _expected(attributes)
            for _, platform_id, hashes, attributes in flying
        }
        try:
            seen = await catalog.read_back(expected, priority=Priority.FAST)
        except PlatformFailure as failure:
            if failure.kind in HOPELESS:
                await self._outcomes.looked(channel, attempt, {})
                return
            await self._attention.hear(channel, catalog, failure)
            due_at = schedule.next_try(
                self._clock(), attempt.tries + 2, jitter=0.5, retry_after_s=failure.retry_after_s
            )
            await self._outcomes.transaction(
                channel.brand_id,
                lambda tx: work.move(tx, attempt, stage="unknown", due_at=due_at, tries=attempt.tries),
            )
            return
        await self._outcomes.looked(channel, attempt, seen)

    async def read_back(self, channel: Channel, catalog: CatalogChannel) -> None:
        """One call at most, and only when it need not wait: prices must not queue behind looks."""
        wait_s = catalog.ready_in_s(Endpoint.READ_BACK)
        if wait_s > 0:
            self.read_back_from = self._clock() + timedelta(seconds=wait_s)
            return
        limit = min(READ_BACK_ITEMS_MAX, catalog.capabilities.read_back_items_max)
        async with self._database.read([channel.brand_id]) as tx:
            asked = await items.read_back_due(tx, channel, now=self._clock(), limit=limit)
        try:
            seen = await catalog.read_back({row[1]: _expected(row[3]) if row[2] else {} for row in asked})
        except PlatformFailure as failure:
            if failure.kind not in HOPELESS:
                await self._attention.hear(channel, catalog, failure)
                self.read_back_from = schedule.next_try(
                    self._clock(), READ_BACK_FAILURES, jitter=0.5, retry_after_s=failure.retry_after_s
                )
                return
            seen = {}
        within_s = catalog.capabilities.shows_within_s
        if self._shown_within is not None:
            within_s = self._shown_within.total_seconds()
        await self._outcomes.read_back(channel, asked, seen, within_s=within_s)


def _expected(stored: bytes) -> Mapping[str, object]:
    """Everything that was sent so far of an item: the whole, with the newest price and stock."""
    attributes: Mapping[str, Mapping[str, object]] = orjson.loads(stored)
    return {**attributes["full"]}
