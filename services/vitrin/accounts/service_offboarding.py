"""Use cases of brands that leave: asked for, taken back within the grace, carried out by the loop.

Nothing goes out any more from the moment that it is decided. Carrying it out is one transaction that revokes the keys,
destroys the tokens and publishes the brand as deleted; then the keys of personal data go, in batches; the rows go last,
in every service by itself (`kit.brand_data.purge`).
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from vitrin.accounts import audit, events, repository, repository_oauth, repository_people
from vitrin.accounts import repository_offboarding as offboardings
from vitrin.accounts.domain_oauth import CHOOSE_ASSETS
from vitrin.accounts.errors import BrandNotFound, LiveKeyNeeded
from vitrin.accounts.errors_offboarding import (
    OffboardingCarriedOut,
    OffboardingNeedsOtherPerson,
    OffboardingNotFound,
    OffboardingUnconfirmed,
)
from vitrin.accounts.service_outgoing import turn_within
from vitrin.accounts.service_seal import SealKeys
from vitrin.kit.access import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId, ConnectionId
from vitrin.kit.logs import get_logger

ACTOR: Final = "service:off-boarding"
REASON: Final = "The brand leaves."
AT_ONCE: Final = 20
KEYS_AT_ONCE: Final = 1_000
EVERY: Final = timedelta(seconds=20)
_log = get_logger("vitrin.accounts.offboarding")


class Offboarding:
    """`grace`: how long it can be taken back."""

    def __init__(self, database: AppDatabase, clock: Clock, *, grace: timedelta, seal: SealKeys) -> None:
        self._database = database
        self._clock = clock
        self._grace = grace
        self._seal = seal

    async def ask(self, caller: Principal, brand_id: BrandId, *, confirm: str) -> Any:
        """Again changes nothing, but where another person has to agree: there it is that.

        BrandNotFound, LiveKeyNeeded, OffboardingUnconfirmed, OffboardingCarriedOut, OffboardingNeedsOtherPerson."""
        _own_and_live(caller, brand_id)
        now = self._clock()
        async with self._database.write(brand_id) as tx:
            brand = await repository.lock_brand(tx, brand_id)
            if brand is None:
                raise BrandNotFound
            if confirm != brand.slug:
                raise OffboardingUnconfirmed(f"'confirm' is not {brand.slug!r}.", field="confirm")
            row = await offboardings.find(tx, brand_id)
            if row is None:
                return await self._asked(tx, caller, brand, now)
            if row.state == "waiting":
                return row
            if row.state != "asked":
                raise OffboardingCarriedOut
            await _other_person(tx, caller, row)
            return await self._decided(tx, caller, brand_id, now, {"approved_by": caller.actor})

    async def keep(self, caller: Principal, brand_id: BrandId) -> None:
        """Takes it back. What was stopped goes out again. BrandNotFound, LiveKeyNeeded, OffboardingNotFound,
        OffboardingCarriedOut."""
        _own_and_live(caller, brand_id)
        now = self._clock()
        async with self._database.write(brand_id) as tx:
            await repository.lock_brand(tx, brand_id)
            row = await offboardings.find(tx, brand_id)
            if row is None:
                raise OffboardingNotFound
            if row.state not in ("asked", "waiting"):
                raise OffboardingCarriedOut
            await offboardings.forget(tx, brand_id)
            switches = await repository.switches(tx, (brand_id,))
            if any(one.platform == "" and one.reason == REASON for one in switches):
                await turn_within(
                    tx, brand_id, "", stopped=False, reason="The brand stays.", actor=caller.actor, now=now
                )
            await _record(tx, brand_id, now, caller.actor, "brand.keep")

    async def get(self, caller: Principal, brand_id: BrandId) -> Any | None:
        """None where the brand stays. BrandNotFound."""
        if brand_id != caller.brand_id:
            raise BrandNotFound
        async with self._database.read(brand_id) as session:
            return await offboardings.find(session, brand_id)

    async def of(self, brand_id: BrandId) -> Any:
        """For the operator. OffboardingNotFound."""
        async with self._database.read(brand_id) as session:
            row = await offboardings.find(session, brand_id)
        if row is None:
            raise OffboardingNotFound
        return row

    async def carry_out(self, brand_id: BrandId) -> None:
        """Whatever of it is left to do; harmless to repeat, and does nothing before its time."""
        async with self._database.write(brand_id) as tx:
            brand = await repository.lock_brand(tx, brand_id)
            row = await offboardings.find(tx, brand_id)
            if brand is None or row is None or row.state not in ("waiting", "ending"):
                return
            now = self._clock()
            if row.state == "waiting":
                if row.due_at > now:
                    return
                await self._close(tx, brand, now)
        while await self._destroy_some(brand_id):
            pass
        now = self._clock()
        async with self._database.write(brand_id) as tx:
            await repository.lock_brand(tx, brand_id)
            last_at = now + max(self._seal.rules.lease, self._seal.rules.backup_kept)
            await offboardings.change(tx, brand_id, {"state": "ended", "ended_at": now, "last_at": last_at})
        _log.info("brand_left", brand=str(brand_id))

    async def _asked(self, tx: WriteSession, caller: Principal, brand: Any, now: datetime) -> Any:
        brand_id = BrandId(brand.brand_id)
        row = {
            "brand_id": brand_id,
            "state": "asked",
            "asked_at": now,
            "asked_by": caller.actor,
            "keys_revoked": 0,
            "connections_ended": 0,
            "seal_keys_destroyed": 0,
        }
        asked = await offboardings.save(tx, row)
        await _record(tx, brand_id, now, caller.actor, "brand.offboard", after=asked)
        if brand.approval_needs_other_person:
            return asked
        return await self._decided(tx, caller, brand_id, now, {})

    async def _decided(
        self, tx: WriteSession, caller: Principal, brand_id: BrandId, now: datetime, changes: dict[str, Any]
    ) -> Any:
        await turn_within(tx, brand_id, "", stopped=True, reason=REASON, actor=caller.actor, now=now)
        decided = {**changes, "state": "waiting", "due_at": now + self._grace}
        after = await offboardings.change(tx, brand_id, decided)
        if changes:
            await _record(tx, brand_id, now, caller.actor, "brand.offboard_approve", after=after)
        return after

    async def _close(self, tx: WriteSession, brand: Any, now: datetime) -> None:
        brand_id = BrandId(brand.brand_id)
        keys = await offboardings.living_keys(tx, brand_id)
        for key in keys:
            after = await repository.update_key(tx, brand_id, key.key_id, {"revoked_at": now})
            tx.publish(events.api_key_changed(after, at=now))
        ended = await offboardings.living_connections(tx, brand_id)
        for connection in ended:
            await _end_connection(tx, brand_id, connection, now)
        for invitation in await repository_people.open_invitations(tx, brand_id):
            await repository_people.end_invitation(
                tx, brand_id, invitation.invitation_id, outcome="revoked", at=now
            )
        await offboardings.forget_people_and_apps(tx, brand_id, now)
        gone = {
            **dict.fromkeys(("name", "storefront_url"), ""),
            "slug": f"left-{brand_id.hex}",
            "has_live_connection": False,
            "deleted_at": now,
            "updated_at": now,
        }
        after = await repository.update_brand(tx, brand_id, gone)
        tx.publish(events.brand_changed(after, at=now))
        closed = {"keys_revoked": len(keys), "connections_ended": len(ended)}
        await offboardings.change(tx, brand_id, {**closed, "state": "ending", "closed_at": now})
        await _record(tx, brand_id, now, ACTOR, "brand.leave")

    async def _destroy_some(self, brand_id: BrandId) -> int:
        gone = await self._seal.destroy_of_brand(brand_id, at_most=KEYS_AT_ONCE)
        if gone:
            async with self._database.write(brand_id) as tx:
                row = await offboardings.find(tx, brand_id)
                if row is not None:
                    await offboardings.change(
                        tx, brand_id, {"seal_keys_destroyed": row.seal_keys_destroyed + gone}
                    )
        return gone


class OffboardingLoop:
    """Finds under the worker role what is due; the work is done under the app role, brand by brand."""

    def __init__(self, worker: WorkerDatabase, offboarding: Offboarding, clock: Clock) -> None:
        self._worker = worker
        self._offboarding = offboarding
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.round()
            except SQLAlchemyError as error:
                _log.warning("offboarding_waits", reason=type(error).__name__)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=EVERY.total_seconds())

    async def round(self) -> None:
        async with self._worker.read() as session:
            brands = await offboardings.due(session, self._clock(), AT_ONCE)
        for brand_id in brands:
            try:
                await self._offboarding.carry_out(brand_id)
            except SQLAlchemyError as error:  # the next brand must not wait for this one
                _log.warning("offboarding_failed", brand=str(brand_id), reason=type(error).__name__)


def _own_and_live(caller: Principal, brand_id: BrandId) -> None:
    if brand_id != caller.brand_id:
        raise BrandNotFound
    if caller.mode != "live":
        raise LiveKeyNeeded("A test key cannot end a brand.")


async def _other_person(tx: WriteSession, caller: Principal, row: Any) -> None:
    """Neither the one who asked, nor a key that this one has made and therefore has seen."""
    key = await repository.key(tx, caller.brand_id, caller.key_id, modes=("live",))
    if caller.actor == row.asked_by or key is None or key.created_by == row.asked_by:
        raise OffboardingNeedsOtherPerson


async def _end_connection(tx: WriteSession, brand_id: BrandId, before: Any, now: datetime) -> None:
    connection_id = ConnectionId(before.connection_id)
    await repository_oauth.forget_token(tx, brand_id, connection_id)
    gone = {
        "state": "deleted",
        "deleted_at": now,
        "updated_at": now,
        **dict.fromkeys(("token_key_id", "token_nonce", "token_ciphertext")),
    }
    after = await repository.update_connection(tx, brand_id, connection_id, gone)
    if before.state != CHOOSE_ASSETS:
        tx.publish(events.connection_changed(after, at=now))


async def _record(
    tx: WriteSession, brand_id: BrandId, at: datetime, actor: str, action: str, *, after: Any | None = None
) -> None:
    await audit.record(
        tx,
        brand_id=brand_id,
        at=at,
        actor=actor,
        action=action,
        subject=f"brand:{brand_id}",
        before=None,
        after=after,
    )
