"""Which app asks for consent: a brand's own, else the house's. Secrets are sealed at rest and never shown again."""

from collections.abc import Mapping, Sequence
from typing import Any

from vitrin.accounts import audit, repository_oauth
from vitrin.accounts.errors import LiveNeedsLiveKey
from vitrin.accounts.errors_oauth import AppNotFound, OAuthNotConfigured
from vitrin.accounts.kinds import kind_of, visible_modes
from vitrin.kit.access import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import Sealed, TokenCipher
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.ids import BrandId
from vitrin.platforms.oauth import AppCredentials
from vitrin.platforms.registry import OAUTH


class OAuthAppsInvalid(Exception):
    """The configured list of apps cannot be read. The message carries no secret."""


def parse_apps(text: str) -> Mapping[str, AppCredentials]:
    """From "platform:app id:secret,...". Raises OAuthAppsInvalid."""
    found: dict[str, AppCredentials] = {}
    for number, part in enumerate((one for one in text.split(",") if one.strip()), start=1):
        pieces = part.strip().split(":", 2)
        if len(pieces) != 3 or not all(pieces):
            raise OAuthAppsInvalid(
                f"entry {number} of the OAuth apps is not of the form platform:app-id:secret"
            )
        found[pieces[0]] = AppCredentials(app_id=pieces[1], secret=pieces[2])
    return found


class Apps:
    """`house` and `sandbox`: the apps of the settings, for live connections and for those to the sandbox."""

    def __init__(
        self,
        database: AppDatabase,
        clock: Clock,
        cipher: TokenCipher,
        *,
        house: Mapping[str, AppCredentials],
        sandbox: Mapping[str, AppCredentials],
    ) -> None:
        self._database = database
        self._clock = clock
        self._cipher = cipher
        self._of_settings = {"live": house, "sandbox": sandbox}

    async def save(self, caller: Principal, *, platform: str, mode: str, app_id: str, secret: str) -> Any:
        """PlatformUnknown, LiveNeedsLiveKey. Tokens of the app before cannot be renewed any more: connect again."""
        kind, now = kind_of(platform), self._clock()
        if kind.name not in OAUTH:
            raise AppNotFound(
                f"{kind.title} is not connected by consent.", fix="Give the keys that its settings make."
            )
        _check_mode(caller, mode)
        sealed = self._cipher.seal(secret, _bound_to(caller.brand_id, platform, mode))
        row = {
            "brand_id": caller.brand_id,
            "platform": kind.name,
            "mode": mode,
            "app_id": app_id,
            "secret_key_id": sealed.key_id,
            "secret_nonce": sealed.nonce,
            "secret_ciphertext": sealed.ciphertext,
            "changed_at": now,
            "changed_by": caller.actor,
        }
        async with self._database.write(caller.brand_id) as tx:
            before = await repository_oauth.app(tx, caller.brand_id, platform, mode)
            after = await repository_oauth.save_app(tx, row)
            await audit.record(
                tx,
                brand_id=caller.brand_id,
                at=now,
                actor=caller.actor,
                action="oauth_app.save",
                subject=f"oauth_app:{platform}/{mode}",
                before=before,
                after=after,
            )
        return after

    async def own(self, caller: Principal) -> Sequence[Any]:
        async with self._database.read(caller.brand_id) as session:
            return await repository_oauth.apps(session, caller.brand_id, visible_modes(caller))

    async def delete(self, caller: Principal, *, platform: str, mode: str) -> None:
        """AppNotFound, LiveNeedsLiveKey. The house's app asks from now on."""
        _check_mode(caller, mode)
        async with self._database.write(caller.brand_id) as tx:
            before = await repository_oauth.delete_app(tx, caller.brand_id, platform, mode)
            if before is None:
                raise AppNotFound
            await audit.record(
                tx,
                brand_id=caller.brand_id,
                at=self._clock(),
                actor=caller.actor,
                action="oauth_app.delete",
                subject=f"oauth_app:{platform}/{mode}",
                before=before,
                after=None,
            )

    async def asking(self, brand_id: BrandId, platform: str, mode: str) -> AppCredentials:
        """The app that asks for consent now. OAuthNotConfigured."""
        own = await self._own(brand_id, platform, mode)
        found = own or self._of_settings[mode].get(platform)
        if found is None:
            raise OAuthNotConfigured(f"Neither the brand nor the house has an app of {platform} ({mode}).")
        return found

    async def that_was(
        self, brand_id: BrandId, platform: str, mode: str, app_id: str
    ) -> AppCredentials | None:
        """The app that a token was given to; None when it is not configured any more."""
        own = await self._own(brand_id, platform, mode)
        for one in (own, self._of_settings[mode].get(platform)):
            if one is not None and one.app_id == app_id:
                return one
        return None

    async def _own(self, brand_id: BrandId, platform: str, mode: str) -> AppCredentials | None:
        async with self._database.read(brand_id) as session:
            row = await repository_oauth.app(session, brand_id, platform, mode)
        if row is None:
            return None
        sealed = Sealed(row.secret_key_id, bytes(row.secret_nonce), bytes(row.secret_ciphertext))
        secret = self._cipher.open(sealed, _bound_to(brand_id, platform, mode))
        return AppCredentials(app_id=row.app_id, secret=secret)


def _check_mode(caller: Principal, mode: str) -> None:
    if mode == "live" and caller.mode == "test":
        raise LiveNeedsLiveKey


def _bound_to(brand_id: BrandId, platform: str, mode: str) -> bytes:
    return brand_id.bytes + f"/{platform}/{mode}".encode()
