"""Use cases of platform connections. The brand's row is locked before the connection's, always."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from vitrin.accounts import audit, domain, events, places, repository, repository_oauth, repository_shops
from vitrin.accounts.domain_oauth import CHOOSE_ASSETS
from vitrin.accounts.errors import (
    AlreadyConnected,
    BrandNotFound,
    CatalogInUse,
    ConnectionInvalid,
    ConnectionNotFound,
    LiveNeedsLiveKey,
)
from vitrin.accounts.errors_oauth import AssetsNotChosen
from vitrin.accounts.kinds import KINDS, Kind, kind_of, visible_modes
from vitrin.accounts.service_shops import ShopSecrets
from vitrin.kit.access import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import TokenCipher
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.errors import FieldError, VitrinError
from vitrin.kit.ids import BrandId, ConnectionId, new_uuid
from vitrin.platforms.id_templates import template_problem

SYSTEM = "service:accounts"
"""Who does what nobody asked for."""


def sealed_columns(cipher: TokenCipher, connection_id: UUID, token: str) -> dict[str, Any]:
    sealed = cipher.seal(token, connection_id.bytes)
    return {
        "token_key_id": sealed.key_id,
        "token_nonce": sealed.nonce,
        "token_ciphertext": sealed.ciphertext,
    }


async def follow_live(tx: WriteSession, brand: Any, *, at: datetime, actor: str) -> None:
    """The brand says whether it has a live connection; the guard against test keys depends on it."""
    brand_id = BrandId(brand.brand_id)
    live = await repository.has_live_connection(tx, brand_id)
    if live == brand.has_live_connection:
        return
    changes = {"has_live_connection": live, "updated_at": at}
    after = await repository.update_brand(tx, brand_id, changes)
    tx.publish(events.brand_changed(after, at=at))
    await audit.record(
        tx,
        brand_id=brand_id,
        at=at,
        actor=actor,
        action="brand.change",
        subject=f"brand:{brand_id}",
        before=brand,
        after=after,
    )


class Connections:
    def __init__(
        self,
        database: AppDatabase,
        clock: Clock,
        cipher: TokenCipher,
        *,
        shops: ShopSecrets,
        sandbox_url: str,
        sandbox_hosts: frozenset[str],
    ) -> None:
        self._database = database
        self._clock = clock
        self._cipher = cipher
        self._shops = shops
        self._sandbox_url = sandbox_url
        self._sandbox_hosts = sandbox_hosts

    async def create(self, caller: Principal, wanted: Mapping[str, Any]) -> Any:
        """PlatformUnknown, ConnectionInvalid, LiveNeedsLiveKey, AlreadyConnected, CatalogInUse."""
        now = self._clock()
        kind = kind_of(wanted["platform"])
        if wanted["mode"] == "live" and caller.mode == "test":
            raise LiveNeedsLiveKey
        self._check(wanted, kind, now)
        secret = await self._shops.of_new(caller.brand_id, kind, wanted["mode"], wanted.get("webhook_secret"))
        connection_id = ConnectionId(new_uuid())
        try:
            async with self._database.write(caller.brand_id) as tx:
                brand = await repository.lock_brand(tx, caller.brand_id)
                if brand is None:
                    raise BrandNotFound
                values = self._row(wanted, kind, brand, connection_id, now)
                row = await repository.insert_connection(tx, values)
                if kind.shop is not None:
                    await self._shops.remember(tx, row, secret)
                tx.publish(events.connection_changed(row, at=now))
                await self._record(tx, row, at=now, actor=caller.actor, action="create", before=None)
                await self.follow_live(tx, brand, at=now, actor=caller.actor)
        except IntegrityError as error:
            raise (catalog_conflict(error, wanted["mode"], kind) or error) from error
        return row

    async def page(self, caller: Principal, *, after: UUID | None, limit: int) -> list[Any]:
        async with self._database.read(caller.brand_id) as session:
            return await repository.connections_page(
                session, caller.brand_id, modes=visible_modes(caller), after=after, limit=limit
            )

    async def get(self, caller: Principal, connection_id: ConnectionId) -> Any:
        async with self._database.read(caller.brand_id) as session:
            row = await repository.connection(
                session, caller.brand_id, connection_id, modes=visible_modes(caller)
            )
        if row is None:
            raise ConnectionNotFound
        return row

    async def tokens(self, rows: Sequence[Any]) -> dict[UUID, Any]:
        """What renews the tokens of these connections of one brand; nothing for a token that was given by hand."""
        if not rows:
            return {}
        brand_id = BrandId(rows[0].brand_id)
        async with self._database.read(brand_id) as session:
            found = await repository_oauth.tokens(session, brand_id, [row.connection_id for row in rows])
        return {one.connection_id: one for one in found}

    async def change(self, caller: Principal, connection_id: ConnectionId, changes: Mapping[str, Any]) -> Any:
        """A new token (whose end is unknown unless it is given) makes the connection active again."""
        now = self._clock()
        _check_expiry(changes, now)
        secret = changes.get("webhook_secret")
        columns = {
            name: value for name, value in changes.items() if name not in ("access_token", "webhook_secret")
        }
        if "access_token" in changes:
            columns |= sealed_columns(self._cipher, connection_id, changes["access_token"])
            columns |= {"state": "active", "last_error": "", "expires_at": changes.get("expires_at")}
        async with self._database.write(caller.brand_id) as tx:
            before = await repository.lock_connection(
                tx, caller.brand_id, connection_id, modes=visible_modes(caller)
            )
            if before is None:
                raise ConnectionNotFound
            if before.state == CHOOSE_ASSETS:
                raise AssetsNotChosen
            if secret is not None:
                await self._replace_secret(tx, before, secret)
            if not columns and secret is None:
                return before
            if "access_token" in changes:
                await repository_oauth.forget_token(tx, caller.brand_id, connection_id)
            after = await repository.update_connection(
                tx, caller.brand_id, connection_id, {**columns, "updated_at": now}
            )
            tx.publish(events.connection_changed(after, at=now))
            await self._record(tx, after, at=now, actor=caller.actor, action="change", before=before)
        return after

    async def delete(self, caller: Principal, connection_id: ConnectionId) -> None:
        """The sealed token is destroyed with it. Again: ConnectionNotFound."""
        await self._delete(caller.brand_id, connection_id, modes=visible_modes(caller), actor=caller.actor)

    async def drop(self, brand_id: BrandId, connection_id: ConnectionId) -> None:
        """Of a consent that nobody made a choice for."""
        with suppress(ConnectionNotFound):
            await self._delete(
                brand_id, connection_id, modes=("sandbox", "live"), actor=SYSTEM, only=CHOOSE_ASSETS
            )

    async def _delete(
        self,
        brand_id: BrandId,
        connection_id: ConnectionId,
        *,
        modes: tuple[str, ...],
        actor: str,
        only: str | None = None,
    ) -> None:
        now = self._clock()
        async with self._database.write(brand_id) as tx:
            brand = await repository.lock_brand(tx, brand_id)
            before = await repository.lock_connection(tx, brand_id, connection_id, modes=modes)
            if brand is None or before is None or (only is not None and before.state != only):
                raise ConnectionNotFound
            await repository_oauth.forget_token(tx, brand_id, connection_id)
            await repository_shops.forget_shops(tx, brand_id, [connection_id])
            gone = {
                "state": "deleted",
                "deleted_at": now,
                "updated_at": now,
                "token_key_id": None,
                "token_nonce": None,
                "token_ciphertext": None,
            }
            after = await repository.update_connection(tx, brand_id, connection_id, gone)
            if before.state != CHOOSE_ASSETS:
                tx.publish(events.connection_changed(after, at=now))
            await self._record(tx, after, at=now, actor=actor, action="delete", before=before)
            await self.follow_live(tx, brand, at=now, actor=actor)

    async def _replace_secret(self, tx: WriteSession, row: Any, secret: str) -> None:
        """The one before still holds for a day. ConnectionInvalid."""
        shop = KINDS[row.platform].shop
        if shop is None or shop.own_secret:
            message = "Only a shop that signs with a secret of its app has one to give."
            error = FieldError("webhook_secret", "webhook_secret_unknown", message, "Leave it out.")
            raise ConnectionInvalid(message, field="webhook_secret", errors=[error])
        await self._shops.replace(tx, BrandId(row.brand_id), row.connection_id, secret)

    async def follow_live(self, tx: WriteSession, brand: Any, *, at: datetime, actor: str) -> None:
        await follow_live(tx, brand, at=at, actor=actor)

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

    def _check(self, wanted: Mapping[str, Any], kind: Kind, now: datetime) -> None:
        found = [
            domain.base_url_error(wanted["mode"], wanted.get("base_url"), self._sandbox_hosts),
            *kind.external_id_errors(wanted["external_ids"]),
        ]
        found += [*place_errors(wanted), _expiry_error(wanted, now), *shop_errors(wanted, kind)]
        _refuse([error for error in found if error is not None])

    def _row(
        self,
        wanted: Mapping[str, Any],
        kind: Kind,
        brand: Any,
        connection_id: ConnectionId,
        now: datetime,
    ) -> dict[str, Any]:
        external_ids = {name: value for name, value in wanted["external_ids"].items() if value}
        base_url = wanted.get("base_url") or kind.base_url(wanted["mode"], external_ids, self._sandbox_url)
        return {
            "connection_id": connection_id,
            "brand_id": brand.brand_id,
            "version": 1,
            "platform": kind.name,
            "mode": wanted["mode"],
            "base_url": base_url.rstrip("/"),
            "external_ids": external_ids,
            **sealed_columns(self._cipher, connection_id, wanted["access_token"]),
            "scopes": sorted(set(wanted.get("scopes") or kind.required_scopes)),
            "market": wanted.get("market") or brand.default_market,
            "language": wanted.get("language") or brand.language,
            "currency": wanted.get("currency") or brand.default_currency,
            "id_template": wanted["id_template"],
            "state": "active",
            "last_error": "",
            "expires_at": wanted.get("expires_at"),
            "created_at": now,
            "updated_at": now,
            "deleted_at": None,
        }


def place_errors(wanted: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with market, language, currency and id template."""
    found: list[FieldError | None] = []
    for field, check in (
        ("market", places.market_error),
        ("language", places.language_error),
        ("currency", places.currency_error),
    ):
        if wanted.get(field) is not None:
            found.append(check(field, wanted[field]))
    wrong = template_problem(wanted["id_template"])
    if wrong is not None:
        fix = "Write for example {id}, {sku} or shopify_{country}_{product}_{variant}."
        found.append(FieldError("id_template", "id_template_unknown", wrong, fix))
    return [error for error in found if error is not None]


def shop_errors(wanted: Mapping[str, Any], kind: Kind) -> list[FieldError]:
    """What makes no sense for a shop, and a token of the wrong form."""
    shop = kind.shop
    if shop is None:
        return []
    errors = []
    if wanted["id_template"] != "{id}":
        message = "A shop has no id template: it is a channel that names items."
        errors.append(FieldError("id_template", "id_template_of_shop", message, "Leave it out."))
    first, colon, second = wanted["access_token"].partition(":")
    pair = bool(colon and first.startswith("ck_") and second.startswith("cs_"))
    if shop.own_secret and not pair:
        message = f"The token of {shop.title} is {shop.token_form}."
        errors.append(
            FieldError(
                "access_token", "token_form", message, "Make one in its settings, with read and write access."
            )
        )
    return errors


def catalog_conflict(error: IntegrityError, mode: str, kind: Kind) -> VitrinError | None:
    """The refusal that a broken unique key of the catalog or shop means; None for another key."""
    field = f"external_ids.{kind.named_by()}"
    if "connections_one_per_shop" in str(error.orig):
        return CatalogInUse(f"This shop of {kind.title} is connected ({mode}) already.", field=field)
    if "connections_one_per_catalog" in str(error.orig):
        return AlreadyConnected(
            f"The brand has a {mode} connection to this catalog of {kind.title}.", field=field
        )
    if "connections_one_brand_per_catalog" in str(error.orig):
        return CatalogInUse(
            f"Another brand has a {mode} connection to this catalog of {kind.title}.", field=field
        )
    return None


def _expiry_error(fields: Mapping[str, Any], now: datetime) -> FieldError | None:
    expires_at = fields.get("expires_at")
    if expires_at is None or expires_at > now:
        return None
    return FieldError(
        "expires_at", "token_expired", "The access token has expired already.", "Get a new one first."
    )


def _check_expiry(changes: Mapping[str, Any], now: datetime) -> None:
    error = _expiry_error(changes, now)
    _refuse([] if error is None else [error])


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise ConnectionInvalid(errors[0].message, field=errors[0].field, errors=errors)
