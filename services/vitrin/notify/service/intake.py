"""From sights of objects to stored webhook events: what is known already is not told again."""

from collections.abc import Sequence
from uuid import UUID

from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.notify.domain.news import Sight, Told, look
from vitrin.notify.repository import events
from vitrin.notify.service.storing import News, Storing


class Intake:
    def __init__(self, *, storing: Storing, clock: Clock) -> None:
        self._storing = storing
        self._clock = clock

    async def see(self, tx: WriteSession, sights: Sequence[Sight]) -> None:
        """One micro-batch, in its order. A message that comes again (a repeated record, a republished topic) changes
        nothing: by its version, or by its event id where the object has no versions."""
        fresh = await self._fresh(tx, [one for one in sights if one.version is None])
        known = await self._known(tx, [one for one in sights if one.version is not None])
        told_before = dict(known)
        news: list[Sight] = []
        for sight in sights:
            if sight.version is None:
                if sight.source_id in fresh:
                    fresh.discard(sight.source_id)  # twice in one batch
                    news.append(sight)
                continue
            key = (sight.brand_id, sight.object_key)
            known[key], is_news = look(known.get(key, Told()), sight)
            if is_news:
                news.append(sight)
        changed = sorted(key for key, state in known.items() if told_before.get(key) != state)
        await events.tell(tx, [(*key, known[key].version, known[key].told) for key in changed])
        await self._storing.store(tx, [_news(sight) for sight in news if sight.type is not None])

    async def _known(self, tx: WriteSession, sights: Sequence[Sight]) -> dict[tuple[UUID, str], Told]:
        keys = sorted({(one.brand_id, one.object_key) for one in sights})
        if not keys:
            return {}
        return {key: Told(*row) for key, row in (await events.told(tx, keys)).items()}

    async def _fresh(self, tx: WriteSession, sights: Sequence[Sight]) -> set[UUID]:
        if not sights:
            return set()
        sources = sorted({(one.brand_id, one.source_id) for one in sights})
        return await events.new_sources(tx, sources, self._clock())


def _news(sight: Sight) -> News:
    assert sight.type is not None
    return News(
        brand_id=sight.brand_id,
        type=sight.type,
        object_id=sight.object_id,
        object_key=sight.object_key,
        occurred_at=sight.occurred_at,
        data=sight.data,
    )
