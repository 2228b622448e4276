"""The parts that connecting by consent is made of, wired once for the HTTP door, the gRPC door and the loop."""

from dataclasses import dataclass
from typing import Final

from vitrin.accounts.service_apps import Apps, parse_apps
from vitrin.accounts.service_choice import Choice
from vitrin.accounts.service_connections import Connections
from vitrin.accounts.service_consents import Consents
from vitrin.accounts.service_grants import Grants
from vitrin.accounts.service_leases import Leases
from vitrin.accounts.service_refresh import Refresher, RenewalLoop
from vitrin.accounts.service_shops import ShopSecrets
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import TokenCipher
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.http_client import PlatformHttp

READ_TIMEOUT_S: Final = 15.0
TOTAL_TIMEOUT_S: Final = 25.0
"""Somebody waits in a browser; and a claim on a token (60 s) must outlive the call."""


def platform_http() -> PlatformHttp:
    """To be closed by who makes it."""
    return PlatformHttp(read_timeout_s=READ_TIMEOUT_S, total_timeout_s=TOTAL_TIMEOUT_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connecting:
    shops: ShopSecrets
    connections: Connections
    apps: Apps
    consents: Consents
    choice: Choice
    refresher: Refresher
    leases: Leases

    def loop(self, worker: WorkerDatabase, settings: AccountsSettings, clock: Clock) -> RenewalLoop:
        return RenewalLoop(
            worker,
            refresher=self.refresher,
            leases=self.leases,
            drop=self.connections.drop,
            clock=clock,
            every_s=settings.secrets.renewal_every_s,
        )


def connecting(
    settings: AccountsSettings, database: AppDatabase, clock: Clock, http: PlatformHttp
) -> Connecting:
    """Raises KeyRingInvalid, OAuthAppsInvalid."""
    secrets = settings.secrets
    cipher = TokenCipher.parse(secrets.token_keys.get_secret_value())
    hosts = frozenset(host.strip() for host in secrets.sandbox_hosts.split(",") if host.strip())
    apps = Apps(
        database,
        clock,
        cipher,
        house=parse_apps(secrets.oauth_apps.get_secret_value()),
        sandbox=parse_apps(secrets.oauth_sandbox_apps.get_secret_value()),
    )
    shops = ShopSecrets(database, clock, cipher, apps)
    connections = Connections(
        database, clock, cipher, shops=shops, sandbox_url=secrets.sandbox_url, sandbox_hosts=hosts
    )
    grants = Grants(database, clock, cipher, http=http, shops=shops)
    refresher = Refresher(database, clock, cipher, apps=apps, grants=grants)
    return Connecting(
        shops=shops,
        connections=connections,
        apps=apps,
        consents=Consents(database, clock, cipher, apps=apps, grants=grants, sandbox_url=secrets.sandbox_url),
        choice=Choice(database, clock, grants=grants, connections=connections),
        refresher=refresher,
        leases=Leases(database, clock, cipher, renew=refresher.renew),
    )
