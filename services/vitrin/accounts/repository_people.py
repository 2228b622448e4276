"""All SQL of organisations, members and invitations."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import any_, delete, exists, func, insert, literal, or_, select, text, update

from vitrin.accounts.domain import HEIR_LIVES, OWNER_SCOPE
from vitrin.accounts.lookups import LOOKUP_INVITATION, LOOKUP_MEMBER
from vitrin.accounts.models import api_keys, brands, invitations, members, organisations
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId

_NAME_INVITATION = text(f"select set_config('{LOOKUP_INVITATION}', :invitation_id, true)")
_NAME_MEMBER = text(f"select set_config('{LOOKUP_MEMBER}', :member_id, true)")


async def insert_organisation(session: WriteSession, organisation_id: UUID, name: str, at: datetime) -> None:
    row = {"organisation_id": organisation_id, "name": name, "created_at": at}
    await session.execute(insert(organisations).values(row))


async def organisation_of(session: ReadSession, brand_id: BrandId) -> Any:
    mine = select(brands.c.organisation_id).where(brands.c.brand_id == brand_id).scalar_subquery()
    statement = select(organisations).where(organisations.c.organisation_id == mine)
    return (await session.execute(statement)).one()


async def brands_of_member(session: ReadSession, member_id: str) -> list[Any]:
    """Brands in which the person is a member now, with the role there; in any transaction of the app role."""
    await session.execute(_NAME_MEMBER, {"member_id": member_id})
    statement = (
        select(brands.c.brand_id, brands.c.name, brands.c.slug, brands.c.organisation_id, members.c.role)
        .join_from(brands, members, brands.c.brand_id == members.c.brand_id)
        .where(members.c.member_id == UUID(member_id), members.c.removed_at.is_(None))
    )
    return list(await session.all(statement.order_by(brands.c.brand_id)))


async def members_page(
    session: ReadSession, brand_id: BrandId, *, after: UUID | None, limit: int
) -> list[Any]:
    """Those that were removed too."""
    statement = select(members).where(members.c.brand_id == brand_id)
    if after is not None:
        statement = statement.where(members.c.member_id > after)
    return list(await session.all(statement.order_by(members.c.member_id).limit(limit)))


async def member(session: ReadSession, brand_id: BrandId, member_id: UUID) -> Any | None:
    statement = select(members).where(members.c.brand_id == brand_id, members.c.member_id == member_id)
    return await session.one_or_none(statement)


async def lock_member(session: WriteSession, brand_id: BrandId, member_id: UUID) -> Any | None:
    statement = select(members).where(members.c.brand_id == brand_id, members.c.member_id == member_id)
    return await session.one_or_none(statement.with_for_update())


async def has_email(session: ReadSession, brand_id: BrandId, email: str) -> bool:
    """Of somebody who is a member now."""
    statement = select(members.c.member_id).where(
        members.c.brand_id == brand_id,
        func.lower(members.c.email) == email.lower(),
        members.c.removed_at.is_(None),
    )
    return bool(await session.scalar(select(exists(statement))))


async def insert_member(session: WriteSession, row: dict[str, Any]) -> Any:
    """IntegrityError on `members_one_per_email`."""
    return (await session.execute(insert(members).values(row).returning(members))).one()


async def update_member(
    session: WriteSession, brand_id: BrandId, member_id: UUID, changes: dict[str, Any]
) -> Any:
    statement = (
        update(members)
        .where(members.c.brand_id == brand_id, members.c.member_id == member_id)
        .values(**changes, version=members.c.version + 1)
        .returning(members)
    )
    return (await session.execute(statement)).one()


async def lock_member_keys(session: WriteSession, brand_id: BrandId, member_id: UUID) -> Sequence[Any]:
    """The person's own keys that are not revoked, in the order of their ids."""
    statement = select(api_keys).where(
        api_keys.c.brand_id == brand_id, api_keys.c.member_id == member_id, api_keys.c.revoked_at.is_(None)
    )
    return await session.all(statement.order_by(api_keys.c.key_id).with_for_update())


async def keys_made_by(
    session: ReadSession, brand_id: BrandId, actor: str, *, now: datetime
) -> Sequence[Any]:
    """Keys of programs that this person made and therefore has seen, and that still work."""
    statement = select(api_keys).where(
        api_keys.c.brand_id == brand_id,
        api_keys.c.created_by == actor,
        api_keys.c.member_id.is_(None),
        api_keys.c.revoked_at.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now),
    )
    return await session.all(statement.order_by(api_keys.c.key_id))


async def has_owner_key_beside(
    session: ReadSession, brand_id: BrandId, member_id: UUID, *, now: datetime
) -> bool:
    """A live key, not of this person, that can manage the brand for longer than HEIR_LIVES."""
    others = select(api_keys.c.key_id).where(
        api_keys.c.brand_id == brand_id,
        api_keys.c.member_id.is_distinct_from(member_id),
        api_keys.c.mode == "live",
        api_keys.c.kind == "secret",
        api_keys.c.role == "owner",
        literal(OWNER_SCOPE) == any_(api_keys.c.scopes),
        api_keys.c.revoked_at.is_(None),
        api_keys.c.rotated_to.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now + HEIR_LIVES),
    )
    return bool(await session.scalar(select(exists(others))))


async def insert_invitation(session: WriteSession, row: dict[str, Any]) -> Any:
    return (await session.execute(insert(invitations).values(row).returning(invitations))).one()


async def forget_invitations(session: WriteSession, brand_id: BrandId, *, before: datetime) -> None:
    """Those that ended before, by whatever end."""
    ended = func.coalesce(invitations.c.ended_at, invitations.c.expires_at)
    await session.execute(delete(invitations).where(invitations.c.brand_id == brand_id, ended < before))


async def open_invitations(session: WriteSession, brand_id: BrandId) -> Sequence[Any]:
    statement = select(invitations).where(invitations.c.brand_id == brand_id, invitations.c.outcome == "open")
    return await session.all(statement.order_by(invitations.c.invitation_id).with_for_update())


async def invitations_page(
    session: ReadSession, brand_id: BrandId, *, after: UUID | None, limit: int
) -> list[Any]:
    statement = select(invitations).where(invitations.c.brand_id == brand_id)
    if after is not None:
        statement = statement.where(invitations.c.invitation_id > after)
    return list(await session.all(statement.order_by(invitations.c.invitation_id).limit(limit)))


async def find_invitation(session: ReadSession, invitation_id: UUID) -> Any | None:
    """In a transaction without a brand; sees this one only."""
    await session.execute(_NAME_INVITATION, {"invitation_id": str(invitation_id)})
    statement = select(invitations).where(invitations.c.invitation_id == invitation_id)
    return await session.one_or_none(statement)


async def lock_invitation(session: WriteSession, brand_id: BrandId, invitation_id: UUID) -> Any | None:
    statement = select(invitations).where(
        invitations.c.brand_id == brand_id, invitations.c.invitation_id == invitation_id
    )
    return await session.one_or_none(statement.with_for_update())


async def end_invitation(
    session: WriteSession, brand_id: BrandId, invitation_id: UUID, *, outcome: str, at: datetime
) -> Any:
    statement = (
        update(invitations)
        .where(invitations.c.brand_id == brand_id, invitations.c.invitation_id == invitation_id)
        .values(outcome=outcome, ended_at=at, email="")
        .returning(invitations)
    )
    return (await session.execute(statement)).one()


async def open_invitations_by(session: ReadSession, brand_id: BrandId, actor: str) -> Sequence[Any]:
    statement = select(invitations).where(
        invitations.c.brand_id == brand_id, invitations.c.created_by == actor, invitations.c.outcome == "open"
    )
    return await session.all(statement.order_by(invitations.c.invitation_id))
