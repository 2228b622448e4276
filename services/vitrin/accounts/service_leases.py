"""Use cases of the other services: check a key, lend a token, hear what a platform said of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from vitrin.accounts import audit, domain, events, repository, repository_oauth
from vitrin.accounts.domain_oauth import CHOOSE_ASSETS, recovery_at
from vitrin.accounts.errors import (
    ConnectionNotFound,
    ConnectionRefused,
    StateUnknown,
    TokenExpired,
    TokenExpiresSoon,
)
from vitrin.accounts.errors_oauth import AssetsNotChosen, RenewalUnderWay
from vitrin.kit.access import Principal
from vitrin.kit.access.directory import Known, admit
from vitrin.kit.access.records import defaults_record, key_record
from vitrin.kit.access.tokens import parse_token
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import Sealed, TokenCipher
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId, ConnectionId, KeyId
from vitrin.kit.logs import MASK, mask_text

ALL_MODES = ("sandbox", "live")


class OwnDirectory:
    """The KeyDirectory of accounts: its own tables, no cache, so a revoked key is refused at once."""

    def __init__(self, database: AppDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def authenticate(self, token: str) -> Principal:
        parsed = parse_token(token)
        found = await self.find(parsed.key_id)
        known = None if found is None else Known(key_record(found[0]), defaults_record(found[1]))
        return admit(parsed, known, self._clock())

    async def find(self, key_id: KeyId) -> tuple[Any, Any] | None:
        """The rows of key and brand."""
        async with self._database.lookup() as session:
            return await repository.find_key(session, key_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedToken:
    row: Any
    access_token: str
    until: datetime

    def __repr__(self) -> str:
        return f"LeasedToken(connection={self.row.connection_id}, until={self.until})"


class Renewed(Protocol):
    """How a renewal ended; `said` is for people."""

    @property
    def outcome(self) -> str: ...

    @property
    def said(self) -> str: ...


Renew = Callable[[BrandId, ConnectionId], Awaitable[Renewed]]


async def _recover(tx: WriteSession, brand_id: BrandId, connection_id: ConnectionId, now: datetime) -> None:
    """A token by consent that was refused before its end is renewed, at once the first time."""
    token = await repository_oauth.lock_token(tx, brand_id, connection_id)
    if token is not None:
        due_at = recovery_at(now, token.recoveries)
        changes = {"refresh_at": due_at, "recoveries": token.recoveries + 1}
        await repository_oauth.change_token(tx, brand_id, connection_id, changes)


class Leases:
    """`renew` gets a new token for a connection by consent, where the platform gives one without a person."""

    def __init__(
        self, database: AppDatabase, clock: Clock, cipher: TokenCipher, *, renew: Renew | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._cipher = cipher
        self._renew = renew

    async def lease(
        self, brand_id: BrandId, connection_id: ConnectionId, *, min_valid_s: int, actor: str
    ) -> LeasedToken:
        """A token that has ended is renewed first, where that needs nobody.

        ConnectionNotFound, TokenExpired (moves the state), TokenExpiresSoon, ConnectionRefused, AssetsNotChosen,
        RenewalUnderWay."""
        row, lease = await self._decide(brand_id, connection_id, min_valid_s)
        if lease.outcome == "expired" and row.state == "active" and self._renew is not None:
            renewal = await self._renew(brand_id, connection_id)
            if renewal.outcome in ("claimed", "silent", "stopped"):
                raise RenewalUnderWay(renewal.said)
            row, lease = await self._decide(brand_id, connection_id, min_valid_s)
        match lease.outcome:
            case "not_chosen":
                raise AssetsNotChosen
            case "refused":
                raise ConnectionRefused(row.last_error)
            case "too_short":
                raise TokenExpiresSoon(f"The token ends at {row.expires_at.isoformat()}.")
            case "expired":
                await self.expire(brand_id, connection_id, actor=actor)
                raise TokenExpired
        assert lease.until is not None
        return LeasedToken(row=row, access_token=self._opened(row), until=lease.until)

    async def report(
        self, brand_id: BrandId, connection_id: ConnectionId, *, state: str, error: str, actor: str
    ) -> None:
        """What a platform said. ConnectionNotFound, StateUnknown. The same again changes nothing."""
        if state not in domain.REPORTABLE_STATES:
            choices = ", ".join(domain.REPORTABLE_STATES)
            raise StateUnknown(f"{state!r} is no state.", field="state", fix=f"Choose from: {choices}.")
        last_error = "" if state == "active" else await self._masked(brand_id, connection_id, error)
        await self._move(brand_id, connection_id, state=state, last_error=last_error, actor=actor)

    async def _masked(self, brand_id: BrandId, connection_id: ConnectionId, error: str) -> str:
        """A platform may repeat the token that it refuses; it must be in no row, event or log line."""
        async with self._database.read(brand_id) as session:
            row = await repository.connection(session, brand_id, connection_id, modes=ALL_MODES)
        if row is None:
            raise ConnectionNotFound
        return mask_text(error.replace(self._opened(row), MASK))[: domain.LAST_ERROR_LENGTH_MAX]

    def _opened(self, row: Any) -> str:
        sealed = Sealed(row.token_key_id, bytes(row.token_nonce), bytes(row.token_ciphertext))
        return self._cipher.open(sealed, row.connection_id.bytes)

    async def expire(self, brand_id: BrandId, connection_id: ConnectionId, *, actor: str) -> None:
        """An active connection whose token has ended says so, and why nobody renewed it."""
        async with self._database.read(brand_id) as session:
            row = await repository.connection(session, brand_id, connection_id, modes=ALL_MODES)
            token = await repository_oauth.token(session, brand_id, connection_id)
        if row is None or domain.effective_state(row.state, row.expires_at, self._clock()) != "token_expired":
            return
        if row.state == "active":
            why = f"{TokenExpired.title}. {token.last_error}".strip() if token else TokenExpired.title
            await self._move(
                brand_id,
                connection_id,
                state="token_expired",
                last_error=why[: domain.LAST_ERROR_LENGTH_MAX],
                actor=actor,
            )

    async def _decide(
        self, brand_id: BrandId, connection_id: ConnectionId, min_valid_s: int
    ) -> tuple[Any, domain.Lease]:
        async with self._database.read(brand_id) as session:
            row = await repository.connection(session, brand_id, connection_id, modes=ALL_MODES)
        if row is None:
            raise ConnectionNotFound
        lease = domain.decide_lease(
            state=row.state, expires_at=row.expires_at, min_valid_s=min_valid_s, now=self._clock()
        )
        return row, lease

    async def _move(
        self, brand_id: BrandId, connection_id: ConnectionId, *, state: str, last_error: str, actor: str
    ) -> None:
        now = self._clock()
        async with self._database.write(brand_id) as tx:
            before = await repository.lock_connection(tx, brand_id, connection_id, modes=ALL_MODES)
            if before is None:
                raise ConnectionNotFound
            if (before.state, before.last_error) == (state, last_error):
                return
            if before.state == CHOOSE_ASSETS:
                raise AssetsNotChosen
            changes = {"state": state, "last_error": last_error, "updated_at": now}
            if state == "token_expired":
                await _recover(tx, brand_id, connection_id, now)
            after = await repository.update_connection(tx, brand_id, connection_id, changes)
            tx.publish(events.connection_changed(after, at=now))
            await audit.record(
                tx,
                brand_id=brand_id,
                at=now,
                actor=actor,
                action="connection.state",
                subject=f"connection:{connection_id}",
                before=before,
                after=after,
            )
