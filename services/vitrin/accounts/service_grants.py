"""What a consent leaves behind: a connection that waits for its choice, or one that lives on with a new token; and
what its token can reach."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from vitrin.accounts import (
    audit,
    domain,
    domain_oauth,
    events,
    repository,
    repository_oauth,
    repository_shops,
)
from vitrin.accounts.domain_oauth import CHOOSE_ASSETS
from vitrin.accounts.errors import BrandNotFound, ConnectionNotFound
from vitrin.accounts.errors_oauth import AssetsUnreadable, OtherAccount, OutgoingStopped, PlatformSilent
from vitrin.accounts.kinds import KINDS, Kind
from vitrin.accounts.service_connections import follow_live, sealed_columns
from vitrin.accounts.service_leases import ALL_MODES
from vitrin.accounts.service_shops import ShopSecrets
from vitrin.kit.access.outgoing import HOUSE
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import Sealed, TokenCipher
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.ids import BrandId, ConnectionId, new_uuid
from vitrin.kit.logs import MASK, mask_text
from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.oauth import Asset, Reach, Tokens
from vitrin.platforms.registry import OAUTH

FOR_SOMEBODY = frozenset({FailureKind.AUTH, FailureKind.PERMISSION})

ASSETS_TIMEOUT_S: Final = 20.0
"""Of all the calls together: somebody waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """`again`: a connection that was there goes on with the new token, and nothing needs to be chosen."""

    connection: Any
    again: bool


def refresh_binding(connection_id: UUID) -> bytes:
    """What a sealed refresh token is bound to."""
    return connection_id.bytes + b"/refresh"


class Grants:
    def __init__(
        self,
        database: AppDatabase,
        clock: Clock,
        cipher: TokenCipher,
        *,
        http: PlatformHttp,
        shops: ShopSecrets,
    ) -> None:
        self._database = database
        self._clock = clock
        self._cipher = cipher
        self._http = http
        self._shops = shops

    def reach(self, brand_id: BrandId, base_url: str) -> Reach:
        return Reach(http=self._http, base_url=base_url, brand=str(brand_id))

    async def keep(self, attempt: Any, *, tokens: Tokens, scopes: frozenset[str], base_url: str) -> Granted:
        """Seals the tokens. OtherAccount, AssetsUnreadable, PlatformSilent, ConnectionNotFound."""
        kind = KINDS[attempt.platform]
        brand_id, now = BrandId(attempt.brand_id), self._clock()
        again = await self._again(attempt, kind)
        if again is not None:
            return await self._renewed(attempt, again, tokens, scopes)
        connection_id = ConnectionId(new_uuid())
        async with self._database.write(brand_id) as tx:
            brand = await repository.lock_brand(tx, brand_id)
            if brand is None:
                raise BrandNotFound
            row = {
                "connection_id": connection_id,
                "brand_id": brand_id,
                "version": 1,
                "platform": kind.name,
                "mode": attempt.mode,
                "base_url": base_url,
                "external_ids": dict(attempt.external_ids),
                **sealed_columns(self._cipher, connection_id, tokens.access_token),
                "scopes": sorted(scopes),
                "market": brand.default_market,
                "language": brand.language,
                "currency": brand.default_currency,
                "id_template": "{id}",
                "state": CHOOSE_ASSETS if kind.shop is None else "active",
                "last_error": "",
                "expires_at": ends_at(now, tokens.expires_in_s),
                "created_at": now,
                "updated_at": now,
                "deleted_at": None,
            }
            made = await repository.insert_connection(tx, row)
            await self._save(tx, attempt, connection_id, tokens, now)
            await self._record(tx, made, at=now, actor=attempt.actor, action="consent", before=None)
            if kind.shop is not None:
                await self._shops.remember(tx, made, None)
                tx.publish(events.connection_changed(made, at=now))
                await follow_live(tx, brand, at=now, actor=attempt.actor)
        return Granted(connection=made, again=False)

    async def _again(self, attempt: Any, kind: Kind) -> ConnectionId | None:
        """The connection that goes on: the one named, or the brand's to the same shop."""
        if attempt.connection_id is not None or kind.shop is None:
            return None if attempt.connection_id is None else ConnectionId(attempt.connection_id)
        brand_id, name = BrandId(attempt.brand_id), kind.named_by()
        async with self._database.read(brand_id) as session:
            return await repository_shops.shop_of(
                session,
                brand_id,
                platform=kind.name,
                mode=attempt.mode,
                name=name,
                value=attempt.external_ids[name],
            )

    async def _renewed(
        self, attempt: Any, connection_id: ConnectionId, tokens: Tokens, scopes: frozenset[str]
    ) -> Granted:
        """The account must be one that reaches the connection's catalog: else another brand's shop would be fed. Of a
        shop the callback has said which one it is."""
        brand_id = BrandId(attempt.brand_id)
        async with self._database.read(brand_id) as session:
            held = await repository.connection(session, brand_id, connection_id, modes=ALL_MODES)
        if held is None:
            raise ConnectionNotFound
        if KINDS[held.platform].shop is None:
            found = await self.assets(held, tokens.access_token, scopes)
            wanted = held.external_ids.get("catalog_id")
            if all((one.kind, one.id) != ("catalog_id", wanted) for one in found):
                raise OtherAccount(f"It reaches no catalog {wanted}.")
        now = self._clock()
        columns = {
            **sealed_columns(self._cipher, connection_id, tokens.access_token),
            "scopes": sorted(scopes),
            "state": "active",
            "last_error": "",
            "expires_at": ends_at(now, tokens.expires_in_s),
            "updated_at": now,
        }
        async with self._database.write(brand_id) as tx:
            before = await repository.lock_connection(tx, brand_id, connection_id, modes=ALL_MODES)
            if before is None:
                raise ConnectionNotFound
            after = await repository.update_connection(tx, brand_id, connection_id, columns)
            await self._save(tx, attempt, connection_id, tokens, now)
            tx.publish(events.connection_changed(after, at=now))
            await self._record(tx, after, at=now, actor=attempt.actor, action="consent", before=before)
        return Granted(connection=after, again=True)

    async def assets(self, connection: Any, token: str, scopes: frozenset[str]) -> list[Asset]:
        """What the token can reach now, within ASSETS_TIMEOUT_S. OutgoingStopped, AssetsUnreadable, PlatformSilent."""
        await self.check_outgoing(BrandId(connection.brand_id), connection.platform)
        title = KINDS[connection.platform].title
        reach = self.reach(BrandId(connection.brand_id), connection.base_url)
        try:
            async with asyncio.timeout(ASSETS_TIMEOUT_S):
                return await OAUTH[connection.platform].assets(reach, token, scopes)
        except TimeoutError as late:
            raise PlatformSilent(
                f"{title} did not list everything within {ASSETS_TIMEOUT_S:.0f} s.",
                fix="Try again in a while.",
            ) from late
        except PlatformFailure as failure:
            said = told(failure, token)
            if failure.kind in FOR_SOMEBODY:
                raise AssetsUnreadable(f"{title} says: {said}", fix=failure.fix or None) from failure
            raise PlatformSilent(f"{title}: {said}", fix="Try again in a while.") from failure

    async def check_outgoing(self, brand_id: BrandId, platform: str) -> None:
        """OutgoingStopped while a switch of the house or the brand is off."""
        async with self._database.read(brand_id) as session:
            if await is_stopped(session, brand_id, platform):
                raise OutgoingStopped

    def token_of(self, connection: Any) -> str:
        sealed = Sealed(
            connection.token_key_id, bytes(connection.token_nonce), bytes(connection.token_ciphertext)
        )
        return self._cipher.open(sealed, connection.connection_id.bytes)

    async def _save(
        self, tx: WriteSession, attempt: Any, connection_id: ConnectionId, tokens: Tokens, now: datetime
    ) -> None:
        row = {
            "connection_id": connection_id,
            "brand_id": attempt.brand_id,
            "platform": attempt.platform,
            "mode": attempt.mode,
            "app_id": attempt.app_id,
            **refresh_columns(self._cipher, connection_id, tokens, now),
            "renewal": renewal_of(attempt.platform, tokens.refresh_token is not None),
            "refresh_at": domain_oauth.due_at(now, ends_at(now, tokens.expires_in_s)),
            "failures": 0,
            "recoveries": 0,
            "last_error": "",
            "claimed_until": None,
            "changed_at": now,
        }
        await repository_oauth.save_token(tx, row)

    async def _record(
        self, tx: WriteSession, row: Any, *, at: datetime, actor: str, action: str, before: Any | None
    ) -> None:
        await audit.record(
            tx,
            brand_id=BrandId(row.brand_id),
            at=at,
            actor=actor,
            action=f"connection.{action}",
            subject=f"connection:{row.connection_id}",
            before=before,
            after=row,
        )


async def is_stopped(session: ReadSession, brand_id: BrandId, platform: str) -> bool:
    """The switches of the house, the brand, and the brand on the platform."""
    rows = await repository.switches(session, (HOUSE, brand_id))
    return any(row.stopped and row.platform in ("", platform) for row in rows)


def told(failure: PlatformFailure, *secrets: str) -> str:
    """The platform's words for people, without the secrets that it may repeat (Meta does)."""
    said = failure.message
    for secret in secrets:
        said = said.replace(secret, MASK) if secret else said
    return mask_text(said)[: domain.LAST_ERROR_LENGTH_MAX]


def ends_at(now: datetime, lifetime_s: int | None) -> datetime | None:
    return None if lifetime_s is None else now + timedelta(seconds=lifetime_s)


def renewal_of(platform: str, has_refresh_token: bool) -> str:
    renews = OAUTH[platform].can_refresh(expired=False, has_refresh_token=has_refresh_token)
    return "automatic" if renews else "by_consent"


def refresh_columns(
    cipher: TokenCipher, connection_id: UUID, tokens: Tokens, now: datetime
) -> Mapping[str, Any]:
    """The sealed refresh token; columns of None where the platform gave none."""
    if tokens.refresh_token is None:
        names = ("refresh_key_id", "refresh_nonce", "refresh_ciphertext", "refresh_expires_at")
        return dict.fromkeys(names)
    sealed = cipher.seal(tokens.refresh_token, refresh_binding(connection_id))
    return {
        "refresh_key_id": sealed.key_id,
        "refresh_nonce": sealed.nonce,
        "refresh_ciphertext": sealed.ciphertext,
        "refresh_expires_at": ends_at(now, tokens.refresh_expires_in_s),
    }
