"""Tokens are renewed ahead of their end, and after a platform refused one before it.

The platform is called without a transaction; a claim in the row keeps others away meanwhile. Whatever happens to the
process between the platform's answer and our commit, the token before stays in use until its end (and Pinterest's
refresh token stays good for another try; that is unverified for the real platform).
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy.exc import SQLAlchemyError

from vitrin.accounts import attention, audit, domain, domain_oauth, events, repository, repository_oauth
from vitrin.accounts.domain_oauth import CHOOSE_ASSETS, CHOOSE_WITHIN, CLAIM, ENDING_WITHIN
from vitrin.accounts.errors import ConnectionNotFound
from vitrin.accounts.kinds import KINDS
from vitrin.accounts.metrics_oauth import ENDING, REFRESHES
from vitrin.accounts.service_apps import Apps
from vitrin.accounts.service_connections import sealed_columns
from vitrin.accounts.service_consents import REFUSALS
from vitrin.accounts.service_grants import (
    Grants,
    ends_at,
    is_stopped,
    refresh_binding,
    refresh_columns,
    told,
)
from vitrin.accounts.service_leases import ALL_MODES, Leases
from vitrin.kit.attention import Attentions
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import CannotOpen, Sealed, TokenCipher
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.ids import BrandId, ConnectionId
from vitrin.kit.logs import get_logger
from vitrin.platforms.base import PlatformFailure
from vitrin.platforms.oauth import Tokens
from vitrin.platforms.registry import OAUTH

ACTOR = "service:token-renewal"
AT_ONCE = 20
"""Tokens that are taken up in one round of the loop."""
STOPPED_LOOK_AGAIN = timedelta(minutes=1)
MEANWHILE = "The connection got another token meanwhile."
RENEWALS = ("automatic", "failing", "by_consent", "by_hand")
Outcome = Literal["renewed", "not_extended", "impossible", "refused", "silent", "stopped", "claimed", "gone"]
_log = get_logger("vitrin.accounts.refresh")


@dataclass(frozen=True, slots=True)
class Renewal:
    """How one renewal ended; `said` is for the person who has to do something."""

    outcome: Outcome
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A token that this process may renew now."""

    connection: Any
    token: Any
    expired: bool


class Refresher:
    """Renews one token; for the loop, for a lease that finds none that lives, and for whoever asks."""

    def __init__(
        self, database: AppDatabase, clock: Clock, cipher: TokenCipher, *, apps: Apps, grants: Grants
    ) -> None:
        self._database = database
        self._clock = clock
        self._cipher = cipher
        self._apps = apps
        self._grants = grants

    async def renew(self, brand_id: BrandId, connection_id: ConnectionId) -> Renewal:
        """gone: the connection has no token by consent; claimed: somebody is at it already."""
        held = await self._claim(brand_id, connection_id)
        if isinstance(held, Renewal):
            return held
        platform = held.connection.platform
        try:
            tokens = await self._called(held)
        except CannotOpen as error:
            renewal = Renewal("refused", f"The sealed token cannot be opened: {error}")
        except PlatformFailure as failure:
            said = f"{failure.code}: {told(failure, self._grants.token_of(held.connection))}"
            outcome: Outcome = "refused" if failure.kind in REFUSALS else "silent"
            renewal = Renewal(outcome, said[: domain.LAST_ERROR_LENGTH_MAX])
        else:
            renewal = tokens if isinstance(tokens, Renewal) else await self._take(held, tokens)
        if renewal.outcome not in ("renewed", "not_extended", "gone"):
            await self._failed(held, renewal)
        REFRESHES.labels(platform, renewal.outcome).inc()
        _log.info("token_renewal", connection=str(connection_id), outcome=renewal.outcome, said=renewal.said)
        return renewal

    async def _claim(self, brand_id: BrandId, connection_id: ConnectionId) -> _Held | Renewal:
        now = self._clock()
        async with self._database.write(brand_id) as tx:
            connection = await repository.lock_connection(tx, brand_id, connection_id, modes=ALL_MODES)
            token = await repository_oauth.lock_token(tx, brand_id, connection_id)
            if connection is None or token is None:
                return Renewal("gone")
            if token.claimed_until is not None and token.claimed_until > now:
                return Renewal("claimed")
            if await is_stopped(tx, brand_id, connection.platform):
                changes = {"refresh_at": now + STOPPED_LOOK_AGAIN}
                await repository_oauth.change_token(tx, brand_id, connection_id, changes)
                return Renewal("stopped", "Everything outgoing is stopped: no platform hears of us.")
            await repository_oauth.change_token(tx, brand_id, connection_id, {"claimed_until": now + CLAIM})
        ended = connection.expires_at is not None and connection.expires_at <= now
        expired = ended or connection.state == "token_expired"
        return _Held(connection=connection, token=token, expired=expired)

    async def _called(self, held: _Held) -> Tokens | Renewal:
        """The platform's answer, or why it is not asked."""
        connection, token = held.connection, held.token
        flow, spec = OAUTH[connection.platform], KINDS[connection.platform]
        brand_id = BrandId(connection.brand_id)
        again = (
            f"Connect {spec.title} again: vitrin connect {spec.name} --connection {connection.connection_id}"
        )
        if not flow.can_refresh(expired=held.expired, has_refresh_token=token.refresh_key_id is not None):
            return Renewal("impossible", f"{spec.title} renews no token after its end. {again}")
        app = await self._apps.that_was(brand_id, token.platform, token.mode, token.app_id)
        if app is None:
            return Renewal("refused", f"The app {token.app_id} is not configured any more. {again}")
        return await flow.refresh(
            self._grants.reach(brand_id, connection.base_url),
            app,
            access_token=self._grants.token_of(connection),
            refresh_token=self._refresh_token(token),
        )

    async def _take(self, held: _Held, tokens: Tokens) -> Renewal:
        """Saves the new token; one that lives no longer changes only when it is asked for again."""
        now, connection = self._clock(), held.connection
        brand_id, connection_id = BrandId(connection.brand_id), ConnectionId(connection.connection_id)
        expires_at = ends_at(now, tokens.expires_in_s)
        brings = held.expired or domain_oauth.lives_longer(
            before=connection.expires_at,
            after=expires_at,
            same_token=tokens.access_token == self._grants.token_of(connection),
        )
        if not brings:
            renews_at = domain_oauth.after_no_extension(now, connection.expires_at)
            changes = {"renewal": "by_consent", "refresh_at": renews_at, "claimed_until": None, "failures": 0}
            async with self._database.write(brand_id) as tx:
                now_there = await repository.lock_connection(tx, brand_id, connection_id, modes=ALL_MODES)
                if not _same_token(now_there, connection):
                    return Renewal("gone", MEANWHILE)
                await repository_oauth.change_token(tx, brand_id, connection_id, changes)
            return Renewal("not_extended")
        async with self._database.write(brand_id) as tx:
            before = await repository.lock_connection(tx, brand_id, connection_id, modes=ALL_MODES)
            if before is None or not _same_token(before, connection):
                return Renewal("gone", MEANWHILE)
            columns = {
                **sealed_columns(self._cipher, connection_id, tokens.access_token),
                "expires_at": expires_at,
                "updated_at": now,
            }
            if tokens.scopes is not None:
                columns["scopes"] = sorted(tokens.scopes)
            if before.state == "token_expired":
                columns |= {"state": "active", "last_error": ""}
            after = await repository.update_connection(tx, brand_id, connection_id, columns)
            await repository_oauth.change_token(tx, brand_id, connection_id, self._renewed(held, tokens, now))
            if after.state != CHOOSE_ASSETS:
                tx.publish(events.connection_changed(after, at=now))
            await audit.record(
                tx,
                brand_id=brand_id,
                at=now,
                actor=ACTOR,
                action="connection.renew",
                subject=f"connection:{connection_id}",
                before=before,
                after=after,
            )
        return Renewal("renewed")

    def _renewed(self, held: _Held, tokens: Tokens, now: datetime) -> dict[str, Any]:
        fresh = tokens.refresh_token is not None
        columns = refresh_columns(self._cipher, held.connection.connection_id, tokens, now) if fresh else {}
        ahead = held.connection.state != "token_expired"
        return {
            **columns,
            "renewal": "automatic",
            "refresh_at": domain_oauth.due_at(now, ends_at(now, tokens.expires_in_s)),
            "failures": 0,
            "last_error": "",
            "claimed_until": None,
            "changed_at": now,
            **({"recoveries": 0} if ahead else {}),
        }

    async def _failed(self, held: _Held, renewal: Renewal) -> None:
        """Asked again later, until the token's end has come and the platform's no is final."""
        now = self._clock()
        brand_id, connection_id = (
            BrandId(held.connection.brand_id),
            ConnectionId(held.connection.connection_id),
        )
        final = renewal.outcome == "impossible" or (renewal.outcome == "refused" and held.expired)
        failures = held.token.failures + 1
        changes = {
            "failures": failures,
            "refresh_at": None if final else domain_oauth.retry_at(now, failures),
            "last_error": renewal.said,
            "claimed_until": None,
            **({"renewal": "by_consent"} if final else {}),
        }
        async with self._database.write(brand_id) as tx:
            connection = await repository.lock_connection(tx, brand_id, connection_id, modes=ALL_MODES)
            if connection is None or not _same_token(connection, held.connection):
                return
            await repository_oauth.change_token(tx, brand_id, connection_id, changes)
            if not final or connection.state != "token_expired":
                return
            if renewal.said in connection.last_error:
                return
            both = f"{connection.last_error} {renewal.said}".strip()[: domain.LAST_ERROR_LENGTH_MAX]
            after = await repository.update_connection(
                tx, brand_id, connection_id, {"last_error": both, "updated_at": now}
            )
            tx.publish(events.connection_changed(after, at=now))

    async def put_off(self, brand_id: BrandId, connection_id: ConnectionId) -> None:
        """After a renewal that ended in an error of our own."""
        now = self._clock()
        async with self._database.write(brand_id) as tx:
            token = await repository_oauth.lock_token(tx, brand_id, connection_id)
            if token is None:
                return
            failures = token.failures + 1
            changes = {
                "failures": failures,
                "refresh_at": domain_oauth.retry_at(now, failures),
                "last_error": "The renewal failed here; the log of accounts says why.",
                "claimed_until": None,
            }
            await repository_oauth.change_token(tx, brand_id, connection_id, changes)
        REFRESHES.labels(token.platform, "error").inc()

    def _refresh_token(self, token: Any) -> str | None:
        if token.refresh_key_id is None:
            return None
        sealed = Sealed(token.refresh_key_id, bytes(token.refresh_nonce), bytes(token.refresh_ciphertext))
        return self._cipher.open(sealed, refresh_binding(token.connection_id))


def _same_token(there: Any | None, claimed: Any) -> bool:
    """A late answer of the platform is about the token that was claimed; a newer one is none of its business."""
    return there is not None and bytes(there.token_ciphertext) == bytes(claimed.token_ciphertext)


class RenewalLoop:
    """Finds what is due under the worker role, which sees no token, and does it under the app role, brand by brand."""

    def __init__(
        self,
        worker: WorkerDatabase,
        *,
        refresher: Refresher,
        leases: Leases,
        drop: Callable[[BrandId, ConnectionId], Awaitable[None]],
        clock: Clock,
        every_s: float,
    ) -> None:
        self._worker = worker
        self._refresher = refresher
        self._leases = leases
        self._drop = drop
        self._clock = clock
        self._every_s = every_s
        self._attentions = Attentions(attention.TYPE, clock)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                busy = await self.round()
            except SQLAlchemyError as error:
                _log.warning("renewal_waits", reason=type(error).__name__)
                busy = False
            if busy:
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=self._every_s)

    async def round(self) -> bool:
        """Everything that is due now, up to AT_ONCE of a kind; True when there may be more."""
        now = self._clock()
        async with self._worker.read() as session:
            due = await repository_oauth.due(session, now, AT_ONCE)
            ended = await repository_oauth.ended(session, now, AT_ONCE)
            abandoned = await repository_oauth.abandoned(session, now - CHOOSE_WITHIN, AT_ONCE)
            ending = await repository_oauth.ending(session, now + ENDING_WITHIN)
        await self._renew_all(due)
        renewed = {row.connection_id for row in due}
        for row in ended:
            if row.connection_id not in renewed:
                with suppress(ConnectionNotFound):  # deleted meanwhile
                    await self._leases.expire(*_ids(row), actor=ACTOR)
        for row in abandoned:
            await self._drop(*_ids(row))
        _show(ending)
        nobody_renews = [row for row in ending if row.renewal != attention.AUTOMATIC and row.expires_at > now]
        concerns = [(row.brand_id, attention.token_ending(row)) for row in nobody_renews]
        await self._attentions.settle(self._worker, attention.TOKEN_ENDING, concerns)
        return max(len(due), len(ended), len(abandoned)) == AT_ONCE

    async def _renew_all(self, due: Sequence[Any]) -> None:
        """One token that cannot be handled must not keep the others from their renewal, nor end the process."""
        renewals = (self._refresher.renew(*_ids(row)) for row in due)
        results = await asyncio.gather(*renewals, return_exceptions=True)
        waits: BaseException | None = None
        for row, result in zip(due, results, strict=True):
            if isinstance(result, SQLAlchemyError) or not isinstance(result, Renewal | Exception):
                waits = result
            elif isinstance(result, Exception):
                _log.error("renewal_failed", connection=str(row.connection_id), exc_info=result)
                await self._refresher.put_off(*_ids(row))
        if waits is not None:
            raise waits


def _ids(row: Any) -> tuple[BrandId, ConnectionId]:
    return BrandId(row.brand_id), ConnectionId(row.connection_id)


def _show(ending: Sequence[Any]) -> None:
    counts = Counter((row.platform, row.renewal) for row in ending)
    for platform in OAUTH:
        for renewal in RENEWALS:
            ENDING.labels(platform, renewal).set(counts[platform, renewal])
