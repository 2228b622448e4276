"""Use cases of the removal guard's HTTP door: requests, decisions and the brand's policy."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from vitrin.kit.access.errors import ScopeMissing
from vitrin.kit.access.principal import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.shop_sync import events
from vitrin.shop_sync.domain import guard
from vitrin.shop_sync.domain.guard import Decision, Kind, Policy
from vitrin.shop_sync.errors import (
    ApprovalNeedsOtherPerson,
    ChannelClosed,
    RemovalDecided,
    RemovalGrown,
    RemovalNotFound,
)
from vitrin.shop_sync.repository import guard as memory
from vitrin.shop_sync.repository import removals

APPROVE_SCOPE = "sync:approve"


class Removals:
    """A test key sees requests of sandbox channels only."""

    def __init__(self, *, database: AppDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def requests(
        self,
        principal: Principal,
        *,
        state: str | None,
        before: tuple[datetime, UUID] | None,
        limit: int,
    ) -> Sequence[Row[Any]]:
        async with self._database.read(principal.brand_id) as tx:
            return await removals.list_of(
                tx,
                principal.brand_id,
                sandbox_only=principal.mode == "test",
                state=state,
                before=before,
                limit=limit,
            )

    async def request(
        self, principal: Principal, request_id: UUID, *, after: str, limit: int
    ) -> tuple[Row[Any], Sequence[Row[Any]]]:
        """The request and a page of its items."""
        async with self._database.read(principal.brand_id) as tx:
            found = await _visible(tx, principal, request_id)
            page = await removals.items_of(tx, principal.brand_id, request_id, after=after, limit=limit)
        return found, page

    async def decide(
        self,
        principal: Principal,
        request_id: UUID,
        decision: Decision,
        *,
        note: str,
        items_max: int | None = None,
    ) -> Row[Any]:
        """The worker carries it out. The same decision again changes nothing; a rejection may be taken back.
        Where the brand wants another person to approve, whoever caused one of the items may only reject.
        `items_max`: as many as the approver looked at; nothing is decided when more wait by now."""
        brand = principal.brand_id
        async with self._database.write(brand) as tx:
            request = await _visible(tx, principal, request_id)
            if APPROVE_SCOPE not in principal.scopes:
                raise ScopeMissing(
                    f"Only an approver may decide: this key has no scope {APPROVE_SCOPE!r}.",
                    fix="Use a key of the role approver or owner.",
                    scope=APPROVE_SCOPE,
                )
            await memory.lock_window(tx, brand, request.channel_id)
            request = await _visible(tx, principal, request_id)
            if request.state == decision:
                return request
            again = request.state == "rejected" and request.subject == "strangers"
            if again or not guard.may_decide(request.state, decision):
                raise RemovalDecided(f"It was {request.state} before.", state=request.state)
            if request.channel_state == "closed":
                raise ChannelClosed
            asks_another = decision == "approved" and principal.brand_approval_needs_other_person
            if asks_another and await removals.has_cause(tx, brand, request_id, principal.actor):
                raise ApprovalNeedsOtherPerson
            now, before = self._clock(), request.state
            if before == "rejected":
                await removals.revive(tx, brand, request_id)
                request = await _visible(tx, principal, request_id)
            waiting = request.waiting_removals + request.waiting_zeroings
            if items_max is not None and waiting > items_max:
                raise RemovalGrown(f"{waiting} items wait now, not {items_max}.", waiting=waiting)
            await removals.end(
                tx, brand, request_id, state=decision, by=principal.actor, note=note, now=now, finished=False
            )
            await removals.make_due(tx, brand, request_id, now, waits=False)
            tx.publish(
                events.removal_decided(
                    request, brand=brand, decision=decision, by=principal.actor, note=note, now=now
                )
            )
            await memory.audit(
                tx,
                brand,
                audit_id=new_uuid(),
                at=now,
                actor=principal.actor,
                action=f"removal_{decision}",
                subject=f"removal:{request_id}",
                before={"state": before},
                after={"state": decision, "note": note},
            )
            return await _visible(tx, principal, request_id)

    async def policy(self, brand: BrandId) -> Policy:
        async with self._database.read(brand) as tx:
            return await memory.policy(tx, brand)

    async def change_policy(
        self,
        principal: Principal,
        *,
        percent: int | None,
        at_least: int | None,
        guarded: Sequence[Kind] | None,
    ) -> Policy:
        """None leaves a value as it is."""
        brand = principal.brand_id
        async with self._database.write(brand) as tx:
            await memory.hold_policy(tx, brand)
            held = await memory.policy(tx, brand)
            new = Policy(
                percent=held.percent if percent is None else percent,
                at_least=held.at_least if at_least is None else at_least,
                guarded=held.guarded if guarded is None else frozenset(guarded),
            )
            if new != held:
                now = self._clock()
                await memory.save_policy(tx, brand, new, now=now, actor=principal.actor)
                await memory.audit(
                    tx,
                    brand,
                    audit_id=new_uuid(),
                    at=now,
                    actor=principal.actor,
                    action="removal_policy_changed",
                    subject=f"brand:{brand}",
                    before=_document(held),
                    after=_document(new),
                )
        return new


def _document(policy: Policy) -> dict[str, object]:
    return {
        "percent": policy.percent,
        "at_least": policy.at_least,
        "guarded": sorted(kind.value for kind in policy.guarded),
    }


async def _visible(tx: ReadSession, principal: Principal, request_id: UUID) -> Row[Any]:
    request = await removals.get(tx, principal.brand_id, request_id)
    if request is None or (principal.mode == "test" and request.mode != "sandbox"):
        raise RemovalNotFound
    return request
