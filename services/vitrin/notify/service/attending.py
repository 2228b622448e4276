"""From messages to notices: a message that comes again, or late, changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from vitrin.kit.attention import Concern
from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.notify.repository import events, notices
from vitrin.notify.service.notices import Notices


@dataclass(frozen=True, slots=True)
class Over:
    """What was a concern is none any more."""

    kind: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """`version`: of the object under `object_key`, only a later one counts; None: each source event counts once."""

    brand_id: UUID
    source_id: UUID
    object_key: str
    version: int | None
    what: Concern | Over


class Attending:
    def __init__(self, *, notices: Notices, clock: Clock) -> None:
        self._notices = notices
        self._clock = clock

    async def hear(self, tx: WriteSession, said: Sequence[Said]) -> None:
        """One micro-batch, in its order."""
        for one in said:
            if not await self._counts(tx, one):
                continue
            if isinstance(one.what, Over):
                await self._notices.resolve(tx, one.brand_id, one.what.kind, one.what.cause)
            else:
                await self._notices.open(tx, one.brand_id, one.what)

    async def _counts(self, tx: WriteSession, one: Said) -> bool:
        if one.version is None:
            return await notices.is_new(tx, one.brand_id, one.source_id, self._clock())
        key = (one.brand_id, one.object_key)
        known = (await events.told(tx, [key])).get(key)
        told = one.what.kind if isinstance(one.what, Concern) else ""
        if known is not None and known[0] >= one.version:
            return False
        await events.tell(tx, [(*key, one.version, told)])
        return True
