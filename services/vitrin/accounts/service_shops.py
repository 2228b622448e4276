"""What signs the webhooks of shops: secrets of a connection, or of the app that it was connected by."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_urlsafe
from typing import Any, Final
from uuid import UUID

from vitrin.accounts import repository_shops
from vitrin.accounts.errors import ConnectionInvalid
from vitrin.accounts.errors_oauth import OAuthNotConfigured
from vitrin.accounts.kinds import Kind
from vitrin.accounts.service_apps import Apps
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import Sealed, TokenCipher
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.errors import FieldError
from vitrin.kit.ids import BrandId, new_uuid

PAGE: Final = 500
GOOD_FOR_S: Final = 900
SECRET_LENGTH_MIN: Final = 8
OVERLAP: Final = timedelta(hours=24)
"""A secret that was replaced still signs so long: the shop may send what it signed before."""


@dataclass(frozen=True, slots=True)
class Shop:
    """`secrets`: any of them may have signed; a new subscription is made with the first."""

    brand_id: UUID
    connection_id: UUID
    platform: str
    external_ids: Mapping[str, str]
    secrets: tuple[str, ...] = field(repr=False)


class ShopSecrets:
    def __init__(self, database: AppDatabase, clock: Clock, cipher: TokenCipher, apps: Apps) -> None:
        self._database = database
        self._clock = clock
        self._cipher = cipher
        self._apps = apps

    async def of_new(self, brand_id: BrandId, kind: Kind, mode: str, given: str | None) -> str | None:
        """The secret of a connection with a token that was pasted; None: the app's. ConnectionInvalid."""
        shop = kind.shop
        if shop is None:
            _refuse(given is not None, "webhook_secret_unknown", f"{kind.title} signs no webhooks for us.")
            return None
        if shop.own_secret:
            _refuse(given is not None, "webhook_secret_unknown", "Vitrin makes the secret itself.")
            return token_urlsafe(32)
        if given is None:
            try:
                await self._apps.asking(brand_id, kind.name, mode)
            except OAuthNotConfigured:
                message = (
                    f"{kind.title} signs its webhooks with the app's secret: without it none is believed."
                )
                fix = "Give 'webhook_secret': of a custom app its API secret key."
                _refuse(True, "webhook_secret_missing", message, fix)
        return given

    async def remember(self, tx: WriteSession, row: Any, secret: str | None) -> None:
        """A connection to a shop, in the transaction that makes it."""
        await repository_shops.save_shop(
            tx,
            {
                name: getattr(row, name)
                for name in ("connection_id", "brand_id", "platform", "mode", "external_ids")
            },
        )
        if secret is not None:
            await self.replace(tx, BrandId(row.brand_id), row.connection_id, secret)

    async def replace(self, tx: WriteSession, brand_id: BrandId, connection_id: UUID, secret: str) -> None:
        """The one before still holds for a day."""
        now, secret_id = self._clock(), new_uuid()
        sealed = self._cipher.seal(secret, _bound_to(connection_id, secret_id))
        row = {
            "connection_id": connection_id,
            "secret_id": secret_id,
            "brand_id": brand_id,
            "secret_key_id": sealed.key_id,
            "secret_nonce": sealed.nonce,
            "secret_ciphertext": sealed.ciphertext,
            "created_at": now,
            "expires_at": None,
        }
        await repository_shops.save_secret(tx, row, until=now + OVERLAP)

    async def lease(self, ids: Sequence[UUID]) -> AsyncIterator[list[Shop]]:
        """Pages of the shops named, or of all."""
        after: UUID | None = None
        while True:
            async with self._database.lookup() as session:
                rows = await repository_shops.page(session, after=after, ids=ids, limit=PAGE)
            if not rows:
                return
            of_brand: dict[UUID, list[Any]] = {}
            for row in rows:
                of_brand.setdefault(row.brand_id, []).append(row)
            found: list[Shop] = []
            for brand, mine in of_brand.items():
                found += await self._of_brand(BrandId(brand), mine)
            yield found
            if len(rows) < PAGE:
                return
            after = rows[-1].connection_id

    async def _of_brand(self, brand_id: BrandId, rows: Sequence[Any]) -> list[Shop]:
        now: datetime = self._clock()
        ids = [row.connection_id for row in rows]
        async with self._database.read(brand_id) as session:
            kept = await repository_shops.secrets(session, brand_id, ids, now)
            apps = await repository_shops.apps_of(session, brand_id, ids)
        own: dict[UUID, list[str]] = {}
        for one in kept:
            sealed = Sealed(one.secret_key_id, bytes(one.secret_nonce), bytes(one.secret_ciphertext))
            opened = self._cipher.open(sealed, _bound_to(one.connection_id, one.secret_id))
            own.setdefault(one.connection_id, []).append(opened)
        found = []
        for row in rows:
            secrets = own.get(row.connection_id, [])
            if not secrets:
                secrets = await self._app_secrets(brand_id, row, apps.get(row.connection_id))
            found.append(Shop(brand_id, row.connection_id, row.platform, row.external_ids, tuple(secrets)))
        return found

    async def _app_secrets(self, brand_id: BrandId, row: Any, app_id: str | None) -> list[str]:
        if app_id is not None:
            app = await self._apps.that_was(brand_id, row.platform, row.mode, app_id)
            return [] if app is None else [app.secret]
        try:
            return [(await self._apps.asking(brand_id, row.platform, row.mode)).secret]
        except OAuthNotConfigured:
            return []


def _bound_to(connection_id: UUID, secret_id: UUID) -> bytes:
    return connection_id.bytes + b"/webhook/" + secret_id.bytes


def _refuse(wrong: bool, code: str, message: str, fix: str = "Leave it out.") -> None:
    if wrong:
        error = FieldError("webhook_secret", code, message, fix)
        raise ConnectionInvalid(message, field="webhook_secret", errors=[error])
