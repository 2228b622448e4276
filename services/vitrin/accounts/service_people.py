"""Use cases of people: organisations, members with their own keys, invitations.

A row of a person is a row of one brand. What lies in several brands (leaving all of them) is one transaction per brand,
each whole and harmless to repeat. The brand's row is locked before a member's, a member's before its keys'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from vitrin.accounts import audit, domain, events, repository
from vitrin.accounts import repository_people as people
from vitrin.accounts.domain import Power
from vitrin.accounts.errors import (
    InvitationEnded,
    InvitationInvalid,
    InvitationNotFound,
    KeyTooPowerful,
    LastOwnerKey,
    LiveKeyNeeded,
    MemberExists,
    MemberNotFound,
)
from vitrin.accounts.invitation_tokens import InvitationToken, new_invitation_token
from vitrin.accounts.service_keys import new_key_row
from vitrin.kit.access import Principal
from vitrin.kit.access.tokens import Token
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.errors import VitrinError
from vitrin.kit.ids import BrandId, KeyId, new_uuid

INVITATION_KEEP: Final = timedelta(days=30)
"""After its end, whatever that was."""
PERSONAL: Final = frozenset({"name", "email"})
KEY_NAME: Final = "Personal key"


@dataclass(frozen=True, slots=True)
class Left:
    """A person who left a brand; `keys_made` are keys of programs that the person has seen and that still work."""

    brand_id: BrandId
    keys_revoked: int
    keys_made: Sequence[Any]
    refused: VitrinError | None = None


class People:
    def __init__(self, database: AppDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def organisation(self, caller: Principal) -> tuple[Any, list[Any]]:
        """The organisation, and the brands in it that the caller may enter: with a key of a program only its own."""
        async with self._database.read(caller.brand_id) as session:
            row = await people.organisation_of(session, caller.brand_id)
            if caller.member_id:
                found = await people.brands_of_member(session, caller.member_id)
                return row, [one for one in found if one.organisation_id == row.organisation_id]
            return row, [await repository.brand(session, caller.brand_id)]

    async def invite(
        self, caller: Principal, *, email: str, role: domain.Role
    ) -> tuple[Any, InvitationToken]:
        """Ends unless it is accepted within INVITATION_S. LiveKeyNeeded, KeyTooPowerful, MemberExists."""
        now, token = self._clock(), new_invitation_token()
        async with self._database.write(caller.brand_id) as tx:
            key = await _may_give(tx, caller, role)
            if key.expires_at is not None:
                raise KeyTooPowerful(
                    "Not possible: the calling key expires, and a person's own key does not."
                )
            if await people.has_email(tx, caller.brand_id, email):
                raise MemberExists(field="email")
            await people.forget_invitations(tx, caller.brand_id, before=now - INVITATION_KEEP)
            row = await people.insert_invitation(
                tx,
                {
                    "invitation_id": token.invitation_id,
                    "brand_id": caller.brand_id,
                    "email": email,
                    "role": role,
                    "secret_hash": token.secret_hash(),
                    "created_at": now,
                    "created_by": caller.actor,
                    "expires_at": now + timedelta(seconds=domain.INVITATION_S),
                    "outcome": "open",
                },
            )
            await _record(tx, caller.brand_id, now, caller.actor, "invitation.create", row=row)
        return row, token

    async def invitations(self, caller: Principal, *, after: UUID | None, limit: int) -> list[Any]:
        """LiveKeyNeeded."""
        _not_with_a_test_key(caller)
        async with self._database.read(caller.brand_id) as session:
            return await people.invitations_page(session, caller.brand_id, after=after, limit=limit)

    async def withdraw(self, caller: Principal, invitation_id: UUID) -> Any:
        """Again is the same. LiveKeyNeeded, InvitationNotFound, InvitationEnded when it was accepted."""
        now = self._clock()
        async with self._database.write(caller.brand_id) as tx:
            await repository.lock_brand(tx, caller.brand_id)
            await _may_manage(tx, caller)
            before = await people.lock_invitation(tx, caller.brand_id, invitation_id)
            if before is None:
                raise InvitationNotFound
            if before.outcome == "accepted":
                raise InvitationEnded("It was accepted; remove the member instead.")
            return before if before.outcome == "revoked" else await _withdraw(tx, before, caller.actor, now)

    async def invited_to(self, token: InvitationToken) -> BrandId:
        """Whose invitation it is, whatever became of it. InvitationInvalid."""
        async with self._database.lookup() as session:
            found = await people.find_invitation(session, token.invitation_id)
        if found is None or not token.matches(bytes(found.secret_hash)):
            raise InvitationInvalid
        return BrandId(found.brand_id)

    async def accept(
        self, token: InvitationToken, brand_id: BrandId, *, name: str, presented: Principal | None
    ) -> tuple[Any, Any, Token]:
        """The member and the person's own key, shown once, for a token that `invited_to` has found good. With an own
        key of another brand of the same organisation it is the same person there and here.

        InvitationEnded, MemberExists.
        """
        now = self._clock()
        try:
            async with self._database.write(brand_id) as tx:
                await repository.lock_brand(tx, brand_id)
                invitation = await people.lock_invitation(tx, brand_id, token.invitation_id)
                if invitation is None or invitation.outcome != "open" or invitation.expires_at <= now:
                    raise InvitationEnded
                if not await _inviter_still_may(tx, invitation, now):
                    raise InvitationEnded("Who invited, or the key it was done with, may not do so any more.")
                member_id = await self._identity(tx, brand_id, presented)
                member = await self._join(tx, invitation, member_id, name, now)
                key, shown = await _own_key(tx, member, now)
                await people.end_invitation(tx, brand_id, token.invitation_id, outcome="accepted", at=now)
        except IntegrityError as error:
            if "members_one_per_email" in str(error.orig):
                raise MemberExists from error
            raise
        return member, key, shown

    async def _identity(self, tx: WriteSession, brand_id: BrandId, presented: Principal | None) -> UUID:
        if presented is None or not presented.member_id:
            return new_uuid()
        mine = await people.organisation_of(tx, brand_id)
        known = await people.brands_of_member(tx, presented.member_id)
        if any(one.organisation_id == mine.organisation_id for one in known):
            return UUID(presented.member_id)
        return new_uuid()

    async def _join(
        self, tx: WriteSession, invitation: Any, member_id: UUID, name: str, now: datetime
    ) -> Any:
        brand_id = BrandId(invitation.brand_id)
        values = {
            "name": name,
            "email": invitation.email,
            "role": invitation.role,
            "changed_at": now,
            "joined_at": now,
            "removed_at": None,
        }
        before = await people.lock_member(tx, brand_id, member_id)
        if before is not None and before.removed_at is None:
            raise MemberExists
        if before is None:
            row = {**values, "brand_id": brand_id, "member_id": member_id, "version": 1}
            member = await people.insert_member(tx, row)
        else:
            member = await people.update_member(tx, brand_id, member_id, values)
        await _record(tx, brand_id, now, f"member:{member_id}", "member.join", row=member, before=before)
        return member

    async def members(self, caller: Principal, *, after: UUID | None, limit: int) -> list[Any]:
        """LiveKeyNeeded."""
        _not_with_a_test_key(caller)
        async with self._database.read(caller.brand_id) as session:
            return await people.members_page(session, caller.brand_id, after=after, limit=limit)

    async def member(self, caller: Principal, member_id: UUID) -> Any:
        """LiveKeyNeeded, MemberNotFound."""
        _not_with_a_test_key(caller)
        async with self._database.read(caller.brand_id) as session:
            found = await people.member(session, caller.brand_id, member_id)
        if found is None:
            raise MemberNotFound
        return found

    async def change_role(self, caller: Principal, member_id: UUID, role: domain.Role) -> Any:
        """The person's own keys have the new role at once. MemberNotFound, KeyTooPowerful, LastOwnerKey."""
        now = self._clock()
        async with self._database.write(caller.brand_id) as tx:
            await repository.lock_brand(tx, caller.brand_id)
            before = await people.lock_member(tx, caller.brand_id, member_id)
            if before is None or before.removed_at is not None:
                raise MemberNotFound
            if before.role == role:
                return before
            await _may_give(tx, caller, before.role)
            await _may_give(tx, caller, role)
            if before.role == "owner":
                await _somebody_else_owns(tx, caller.brand_id, member_id, now)
            changes = {"role": role, "scopes": sorted(domain.ROLE_SCOPES[role])}
            for key in await people.lock_member_keys(tx, caller.brand_id, member_id):
                await _change_key(tx, key, changes, actor=caller.actor, action="key.role", now=now)
            after = await people.update_member(
                tx, caller.brand_id, member_id, {"role": role, "changed_at": now}
            )
            await _record(tx, caller.brand_id, now, caller.actor, "member.role", row=after, before=before)
        return after

    async def remove(self, caller: Principal, member_id: UUID, *, everywhere: bool) -> list[Left]:
        """All the person's own keys die, and so do the invitations that the person sent. Name and e-mail are forgotten.

        `everywhere`: in every brand of the organisation in which the caller, with a key of his own, is an owner.
        MemberNotFound, KeyTooPowerful, LastOwnerKey.
        """
        async with self._database.write(caller.brand_id) as tx:
            await repository.lock_brand(tx, caller.brand_id)
            await _may_manage(tx, caller)
            here = await self._leave(tx, caller.brand_id, member_id, caller)
        left = [] if here is None else [here]
        if everywhere and caller.member_id:
            for brand in await self._owned(caller):
                if brand != caller.brand_id:
                    there = await self._leave_other(brand, member_id, caller)
                    left += [] if there is None else [there]
        if not left:
            raise MemberNotFound
        return left

    async def _leave_other(self, brand: BrandId, member_id: UUID, caller: Principal) -> Left | None:
        """What one brand refuses must not keep the person in the ones after it."""
        try:
            async with self._database.write(brand) as tx:
                return await self._leave(tx, brand, member_id, caller)
        except VitrinError as refusal:
            return Left(brand_id=brand, keys_revoked=0, keys_made=(), refused=refusal)

    async def _owned(self, caller: Principal) -> list[BrandId]:
        _, found = await self.organisation(caller)
        return [BrandId(one.brand_id) for one in found if one.role == "owner"]

    async def _leave(
        self, tx: WriteSession, brand_id: BrandId, member_id: UUID, caller: Principal
    ) -> Left | None:
        now, person = self._clock(), f"member:{member_id}"
        await repository.lock_brand(tx, brand_id)
        before = await people.lock_member(tx, brand_id, member_id)
        if before is None or before.removed_at is not None:
            return None
        if brand_id == caller.brand_id:
            await _may_give(tx, caller, before.role)
        if before.role == "owner":
            await _somebody_else_owns(tx, brand_id, member_id, now)
        keys = await people.lock_member_keys(tx, brand_id, member_id)
        for key in keys:
            await _change_key(tx, key, {"revoked_at": now}, actor=caller.actor, action="key.revoke", now=now)
        for invitation in await people.open_invitations_by(tx, brand_id, person):
            await _withdraw(tx, invitation, caller.actor, now)
        gone = {"removed_at": now, "changed_at": now, "name": "", "email": ""}
        after = await people.update_member(tx, brand_id, member_id, gone)
        await _record(tx, brand_id, now, caller.actor, "member.remove", row=after, before=before)
        made = await people.keys_made_by(tx, brand_id, person, now=now)
        return Left(brand_id=brand_id, keys_revoked=len(keys), keys_made=made)


def _not_with_a_test_key(caller: Principal) -> None:
    if caller.mode == "test":
        raise LiveKeyNeeded


async def _may_manage(tx: WriteSession, caller: Principal) -> Any:
    """A person is a matter of the live brand. Raises LiveKeyNeeded; answers the caller's key, locked."""
    _not_with_a_test_key(caller)
    key = await repository.lock_key(tx, caller.brand_id, caller.key_id, modes=(caller.mode,))
    if key is None or key.revoked_at is not None:
        raise MemberNotFound("The calling key is gone.")
    return key


async def _may_give(tx: WriteSession, caller: Principal, role: domain.Role) -> Any:
    """Raises KeyTooPowerful when the caller has not itself what the role allows; answers the caller's key, locked."""
    key = await _may_manage(tx, caller)
    reason = domain.excess(
        Power(mode="live", role=key.role, scopes=frozenset(key.scopes), expires_at=None),
        Power(mode="live", role=role, scopes=domain.ROLE_SCOPES[role], expires_at=None),
    )
    if reason is not None:
        raise KeyTooPowerful(f"Not possible: {reason}.")
    return key


async def _inviter_still_may(tx: WriteSession, invitation: Any, now: datetime) -> bool:
    """An invitation is worth what its maker is worth when it is accepted, not when it was made."""
    brand_id, offered = BrandId(invitation.brand_id), domain.ROLE_SCOPES[invitation.role]
    kind, _, maker = invitation.created_by.partition(":")
    if kind == "member":
        member = await people.lock_member(tx, brand_id, UUID(maker))
        if member is None or member.removed_at is not None:
            return False
        role, scopes = member.role, domain.ROLE_SCOPES[member.role]
    else:
        key = await repository.lock_key(tx, brand_id, KeyId(maker), modes=("live",))
        if key is None or key.revoked_at is not None:
            return False
        if key.expires_at is not None and key.expires_at <= now:
            return False
        role, scopes = key.role, frozenset(key.scopes)
    return domain.OWNER_SCOPE in scopes and offered <= scopes and offered <= domain.ROLE_SCOPES[role]


async def _somebody_else_owns(tx: WriteSession, brand_id: BrandId, member_id: UUID, now: datetime) -> None:
    if not await people.has_owner_key_beside(tx, brand_id, member_id, now=now):
        raise LastOwnerKey("Nobody else has a live key with the role 'owner'.")


async def _own_key(tx: WriteSession, member: Any, now: datetime) -> tuple[Any, Token]:
    brand_id, actor = BrandId(member.brand_id), f"member:{member.member_id}"
    wanted = {
        "name": KEY_NAME,
        "kind": "secret",
        "mode": "live",
        "role": member.role,
        "member_id": member.member_id,
    }
    values, token = new_key_row(
        wanted, brand_id=brand_id, scopes=domain.ROLE_SCOPES[member.role], now=now, actor=actor
    )
    key = await repository.insert_key(tx, values)
    tx.publish(events.api_key_changed(key, at=now))
    await audit.record(
        tx,
        brand_id=brand_id,
        at=now,
        actor=actor,
        action="key.create",
        subject=f"key:{key.key_id}",
        before=None,
        after=key,
    )
    return key, token


async def _change_key(
    tx: WriteSession, before: Any, changes: dict[str, Any], *, actor: str, action: str, now: datetime
) -> None:
    brand_id = BrandId(before.brand_id)
    after = await repository.update_key(tx, brand_id, before.key_id, changes)
    tx.publish(events.api_key_changed(after, at=now))
    await audit.record(
        tx,
        brand_id=brand_id,
        at=now,
        actor=actor,
        action=action,
        subject=f"key:{before.key_id}",
        before=before,
        after=after,
    )


async def _withdraw(tx: WriteSession, before: Any, actor: str, now: datetime) -> Any:
    brand_id = BrandId(before.brand_id)
    after = await people.end_invitation(tx, brand_id, before.invitation_id, outcome="revoked", at=now)
    await _record(tx, brand_id, now, actor, "invitation.revoke", row=after, before=before)
    return after


async def _record(
    tx: WriteSession,
    brand_id: BrandId,
    at: datetime,
    actor: str,
    action: str,
    *,
    row: Any,
    before: Any | None = None,
) -> None:
    """Without names and e-mail addresses: nobody may change the audit log, so nobody could erase them there."""
    thing = action.partition(".")[0]
    await audit.record(
        tx,
        brand_id=brand_id,
        at=at,
        actor=actor,
        action=action,
        subject=f"{thing}:{getattr(row, f'{thing}_id')}",
        before=before,
        after=row,
        hidden=PERSONAL,
    )
