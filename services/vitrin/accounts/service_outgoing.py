"""Use cases of the switches that stop everything outgoing: of the house, of a brand, of a brand on one platform."""

from datetime import datetime
from typing import Any

from vitrin.accounts import audit, events, repository
from vitrin.accounts.errors import OutgoingInvalid
from vitrin.accounts.kinds import KINDS
from vitrin.kit.access.outgoing import HOUSE, switch_key
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId


class Switches:
    """A switch that nobody has touched is on: everything may go out."""

    def __init__(self, database: AppDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def all_of(self, brand_id: BrandId) -> list[Any]:
        """Every switch that concerns the brand, the house's first."""
        async with self._database.read(brand_id) as session:
            return await repository.switches(session, (HOUSE, brand_id))

    async def turn(self, brand_id: BrandId, platform: str, *, stopped: bool, reason: str, actor: str) -> Any:
        """Stop or start again; turning to where it stands changes nothing and publishes nothing. OutgoingInvalid."""
        if platform and platform not in KINDS:
            known = ", ".join(sorted(KINDS))
            raise OutgoingInvalid(f"There is no platform {platform!r}; known are {known}.", field="platform")
        async with self._database.write(brand_id) as tx:
            return await turn_within(
                tx,
                brand_id,
                platform,
                stopped=stopped,
                reason=reason,
                actor=actor,
                now=self._clock(),
            )


async def turn_within(
    tx: WriteSession,
    brand_id: BrandId,
    platform: str,
    *,
    stopped: bool,
    reason: str,
    actor: str,
    now: datetime,
) -> Any:
    """As part of a change that means more."""
    untouched = {
        "brand_id": brand_id,
        "platform": platform,
        "version": 0,
        "stopped": False,
        "reason": "",
        "changed_at": now,
        "changed_by": actor,
    }
    before = await repository.lock_switch(tx, brand_id, platform, row=untouched)
    if before.stopped == stopped:
        return before
    changes = {"stopped": stopped, "reason": reason, "changed_at": now, "changed_by": actor}
    after = await repository.update_switch(tx, brand_id, platform, changes)
    tx.publish(events.outgoing_changed(after, at=now))
    await audit.record(
        tx,
        brand_id=brand_id,
        at=now,
        actor=actor,
        action="outgoing.stop" if stopped else "outgoing.resume",
        subject=f"outgoing:{switch_key(brand_id, platform)}",
        before=before,
        after=after,
    )
    return after
