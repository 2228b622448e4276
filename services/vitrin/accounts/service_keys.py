"""Use cases of API keys."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from vitrin.accounts import audit, domain, events, repository
from vitrin.accounts.domain import Power
from vitrin.accounts.errors import (
    KeyInvalid,
    KeyNotActive,
    KeyNotFound,
    KeyOfAnother,
    KeyRotated,
    KeyTooPowerful,
    LastOwnerKey,
)
from vitrin.kit.access import Principal
from vitrin.kit.access.errors import ScopeMissing
from vitrin.kit.access.tokens import Token, new_token
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.errors import FieldError
from vitrin.kit.ids import BrandId, KeyId

HINT_CHARACTERS = 4
PUBLISHABLE_ROLE = "viewer"


def new_key_row(
    wanted: Mapping[str, Any], *, brand_id: BrandId, scopes: Collection[str], now: datetime, actor: str
) -> tuple[dict[str, Any], Token]:
    """The row, and the token that is shown once."""
    token = new_token(wanted["kind"], wanted["mode"])
    row = {
        "key_id": token.key_id,
        "brand_id": brand_id,
        "version": 1,
        "name": wanted["name"],
        "kind": wanted["kind"],
        "mode": wanted["mode"],
        "role": wanted["role"],
        "scopes": sorted(scopes),
        "secret_hash": token.secret_hash(),
        "secret_end": token.secret[-HINT_CHARACTERS:],
        "created_at": now,
        "created_by": actor,
        "expires_at": wanted.get("expires_at"),
        "revoked_at": None,
        "rotated_from": wanted.get("rotated_from"),
        "member_id": wanted.get("member_id"),
    }
    return row, token


def visible_modes(caller: Principal) -> tuple[str, ...]:
    """A test key does not see live keys."""
    return ("live", "test") if caller.mode == "live" else ("test",)


class Keys:
    def __init__(self, database: AppDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, caller: Principal, wanted: Mapping[str, Any]) -> tuple[Any, Token]:
        """KeyInvalid, KeyTooPowerful."""
        now = self._clock()
        if wanted["kind"] == "publishable":
            wanted = {**wanted, "role": PUBLISHABLE_ROLE}
        scopes = _checked_scopes(wanted, now)
        async with self._database.write(caller.brand_id) as tx:
            creator = await _lock_creator(tx, caller)
            return await _create(tx, caller, creator, wanted, scopes=scopes, now=now)

    async def rotate(
        self, caller: Principal, key_id: KeyId, *, overlap_s: int, expires_at: datetime | None
    ) -> tuple[Any, Token]:
        """A key of the same power; the old one dies after the overlap (in seconds; 0: at once). The moment travels with
        the key, so no service has to hear of it when it comes.

        A person may rotate the own key whatever the role, and nobody else may: the new secret speaks as that person.
        KeyNotFound, LastOwnerKey, KeyOfAnother, KeyNotActive, KeyRotated, KeyInvalid, KeyTooPowerful, ScopeMissing.
        """
        own = bool(caller.member_id) and key_id == caller.key_id
        if not own and domain.OWNER_SCOPE not in caller.scopes:
            raise ScopeMissing(
                f"This key has no scope {domain.OWNER_SCOPE!r}, and only a person's own key rotates itself without.",
                fix=f"Use a key with the scope {domain.OWNER_SCOPE!r}.",
                scope=domain.OWNER_SCOPE,
            )
        now = self._clock()
        async with self._database.write(caller.brand_id) as tx:
            await repository.lock_brand(tx, caller.brand_id)
            creator = await _lock_creator(tx, caller)
            old = await repository.lock_key(tx, caller.brand_id, key_id, modes=visible_modes(caller))
            if old is None:
                raise KeyNotFound
            if old.member_id is not None and str(old.member_id) != caller.member_id:
                raise KeyOfAnother
            if old.rotated_to is not None:
                raise KeyRotated(f"It was replaced by {old.rotated_to}.", rotated_to=old.rotated_to)
            if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
                raise KeyNotActive
            wanted = {
                "name": old.name,
                "kind": old.kind,
                "mode": old.mode,
                "role": old.role,
                "scopes": old.scopes,
                "rotated_from": key_id,
                "member_id": old.member_id,
                "expires_at": domain.successor_end(
                    asked=expires_at,
                    created_at=old.created_at,
                    ends=old.expires_at,
                    caller_ends=creator.expires_at,
                    now=now,
                ),
            }
            scopes = _checked_scopes(wanted, now)
            if expires_at is not None:
                await _check_heir(tx, old, now)
            new, token = await _create(tx, caller, creator, wanted, scopes=scopes, now=now)
            if key_id == caller.key_id:
                overlap_s = max(overlap_s, domain.OVERLAP_S_OF_ITSELF)
            changes: dict[str, Any] = {"rotated_to": new.key_id}
            if overlap_s > 0:
                changes["expires_at"] = domain.overlap_end(ends=old.expires_at, overlap_s=overlap_s, now=now)
            else:
                changes["revoked_at"] = now
            await _change(tx, caller, old, changes, action="key.rotate", now=now)
        return new, token

    async def page(self, caller: Principal, *, after: str, limit: int) -> list[Any]:
        async with self._database.read(caller.brand_id) as session:
            return await repository.keys_page(
                session, caller.brand_id, modes=visible_modes(caller), after=after, limit=limit
            )

    async def get(self, caller: Principal, key_id: KeyId) -> Any:
        async with self._database.read(caller.brand_id) as session:
            row = await repository.key(session, caller.brand_id, key_id, modes=visible_modes(caller))
        if row is None:
            raise KeyNotFound
        return row

    async def revoke(self, caller: Principal, key_id: KeyId) -> Any:
        """Again is the same: the first moment stays, nothing is published twice. KeyNotFound, LastOwnerKey."""
        now = self._clock()
        async with self._database.write(caller.brand_id) as tx:
            await repository.lock_brand(tx, caller.brand_id)
            before = await repository.lock_key(tx, caller.brand_id, key_id, modes=visible_modes(caller))
            if before is None:
                raise KeyNotFound
            if before.revoked_at is not None:
                return await repository.key(tx, caller.brand_id, key_id, modes=visible_modes(caller))
            await _check_heir(tx, before, now)
            await _change(tx, caller, before, {"revoked_at": now}, action="key.revoke", now=now)
            return await repository.key(tx, caller.brand_id, key_id, modes=visible_modes(caller))


async def _check_heir(tx: WriteSession, key: Any, now: datetime) -> None:
    """LastOwnerKey when nobody else could manage the brand for long without this key."""
    if not domain.manages(kind=key.kind, role=key.role, scopes=key.scopes):
        return
    heirs = domain.heir_modes(key.mode)
    if not await repository.has_other_owner_key(
        tx, BrandId(key.brand_id), KeyId(key.key_id), modes=heirs, now=now
    ):
        raise LastOwnerKey(f"It is the brand's last {key.mode} key with the role 'owner' that lasts.")


async def _lock_creator(tx: WriteSession, caller: Principal) -> Any:
    """So that it cannot be revoked meanwhile."""
    creator = await repository.lock_key(tx, caller.brand_id, caller.key_id, modes=(caller.mode,))
    if creator is None or creator.revoked_at is not None:
        raise KeyNotFound("The creating key is gone.")
    return creator


async def _create(
    tx: WriteSession,
    caller: Principal,
    creator: Any,
    wanted: Mapping[str, Any],
    *,
    scopes: frozenset[str],
    now: datetime,
) -> tuple[Any, Token]:
    """KeyTooPowerful."""
    reason = domain.excess(
        Power(
            mode=caller.mode,
            role=creator.role,
            scopes=frozenset(creator.scopes),
            expires_at=creator.expires_at,
        ),
        Power(mode=wanted["mode"], role=wanted["role"], scopes=scopes, expires_at=wanted.get("expires_at")),
    )
    if reason is not None:
        raise KeyTooPowerful(f"Not possible: {reason}.")
    values, token = new_key_row(wanted, brand_id=caller.brand_id, scopes=scopes, now=now, actor=caller.actor)
    row = await repository.insert_key(tx, values)
    tx.publish(events.api_key_changed(row, at=now))
    await audit.record(
        tx,
        brand_id=caller.brand_id,
        at=now,
        actor=caller.actor,
        action="key.create",
        subject=f"key:{row.key_id}",
        before=None,
        after=row,
    )
    return row, token


async def _change(
    tx: WriteSession, caller: Principal, before: Any, changes: dict[str, Any], *, action: str, now: datetime
) -> None:
    after = await repository.update_key(tx, caller.brand_id, before.key_id, changes)
    tx.publish(events.api_key_changed(after, at=now))
    await audit.record(
        tx,
        brand_id=caller.brand_id,
        at=now,
        actor=caller.actor,
        action=action,
        subject=f"key:{before.key_id}",
        before=before,
        after=after,
    )


def _checked_scopes(wanted: Mapping[str, Any], now: datetime) -> frozenset[str]:
    scopes = domain.scopes_of_new_key(kind=wanted["kind"], role=wanted["role"], asked=wanted.get("scopes"))
    errors = domain.scope_errors(kind=wanted["kind"], role=wanted["role"], scopes=scopes)
    expires_at = wanted.get("expires_at")
    if expires_at is not None and expires_at <= now:
        errors.append(
            FieldError("expires_at", "in_the_past", "The key would have expired already.", "Choose later.")
        )
    if errors:
        raise KeyInvalid(errors[0].message, field=errors[0].field, errors=errors)
    return scopes
