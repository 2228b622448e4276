"""What `vitrin up` reads from the environment, and what each process gets from it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.serving import ENVIRONMENT as SERVICE_ENVIRONMENT
from vitrin.cli.settings import HOST, Var
from vitrin.cli.supervisor.secrets import Secrets

BROKER_MEMORY_BYTES_MAX = 500 * 1024 * 1024
RESTART_BACKOFF_MS_MAX = 30_000
START_NO_PROGRESS_S = 60
NOT_INHERITED = ("PYTHONDONTWRITEBYTECODE",)  # it would make every start compile everything again
SECRETS_OF = {
    "accounts": ("ACCOUNTS_TOKEN_KEYS", "ACCOUNTS_OAUTH_APPS", "ACCOUNTS_OAUTH_SANDBOX_APPS"),
    "catalog": ("CATALOG_SPOOL_KEYS",),
    "notify": ("NOTIFY_SECRET_KEYS", "NOTIFY_SMTP_PASSWORD"),
    "retargeting": ("RETARGETING_SPOOL_KEYS",),
}
WITHOUT_OPERATOR = ("sandbox",)
OUTBOUND_ALLOW = "localhost,127.0.0.0/8,::1"
"""A developer's own webhook endpoints and feeds; a server has no such default."""


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port, and the variable that changes it."""

    setting: str
    number: int

    @classmethod
    def of(cls, environment: Mapping[str, str], setting: str, default: int) -> "Port":
        return cls(setting, _integer(environment, setting, default, at_most=65_535))


@dataclass(frozen=True, slots=True)
class UpSettings:
    """`database_url` or `kafka_bootstrap` None: the embedded one is started."""

    var: Var
    database_url: str | None
    hint_database_url: str | None
    kafka_bootstrap: str | None
    broker_port: int | None
    broker_memory_bytes_max: int
    restart_backoff_ms_max: int
    start_no_progress_s: int
    accounts_http: Port
    accounts_grpc: Port
    catalog_http: Port
    catalog_grpc: Port
    shop_sync_http: Port
    shop_sync_grpc: Port
    notify_http: Port
    notify_grpc: Port
    retargeting_http: Port
    retargeting_grpc: Port
    sandbox_http: Port

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "UpSettings":
        given = os.environ if environment is None else environment
        broker_port = _integer(given, "VITRIN_BROKER_PORT", 0, at_most=65_535)
        return cls(
            var=Var.from_environment()
            if environment is None
            else Var(Path(given.get("VITRIN_VAR") or "var").resolve()),
            database_url=given.get("VITRIN_DATABASE_URL") or None,
            hint_database_url=given.get("VITRIN_HINT_DATABASE_URL") or None,
            kafka_bootstrap=given.get("VITRIN_KAFKA_BOOTSTRAP") or None,
            broker_port=broker_port or None,
            broker_memory_bytes_max=_integer(
                given, "VITRIN_BROKER_MEMORY_BYTES_MAX", BROKER_MEMORY_BYTES_MAX
            ),
            restart_backoff_ms_max=_integer(given, "VITRIN_RESTART_BACKOFF_MS_MAX", RESTART_BACKOFF_MS_MAX),
            start_no_progress_s=max(1, _integer(given, "VITRIN_START_NO_PROGRESS_S", START_NO_PROGRESS_S)),
            accounts_http=Port.of(given, "ACCOUNTS_HTTP_PORT", 8001),
            accounts_grpc=Port.of(given, "ACCOUNTS_GRPC_PORT", 9001),
            catalog_http=Port.of(given, "CATALOG_HTTP_PORT", 8002),
            catalog_grpc=Port.of(given, "CATALOG_GRPC_PORT", 9002),
            shop_sync_http=Port.of(given, "SHOP_SYNC_HTTP_PORT", 8003),
            shop_sync_grpc=Port.of(given, "SHOP_SYNC_GRPC_PORT", 9003),
            notify_http=Port.of(given, "NOTIFY_HTTP_PORT", 8006),
            notify_grpc=Port.of(given, "NOTIFY_GRPC_PORT", 9006),
            retargeting_http=Port.of(given, "RETARGETING_HTTP_PORT", 8005),
            retargeting_grpc=Port.of(given, "RETARGETING_GRPC_PORT", 9005),
            sandbox_http=Port.of(given, "SANDBOX_PORT", 8090),
        )

    @property
    def ports(self) -> list[Port]:
        """Every port that must be free before anything is started."""
        fixed = [] if self.broker_port is None else [Port("VITRIN_BROKER_PORT", self.broker_port)]
        services = [self.accounts_http, self.accounts_grpc, self.catalog_http, self.catalog_grpc]
        services += [self.shop_sync_http, self.shop_sync_grpc, self.notify_http, self.notify_grpc]
        services += [self.retargeting_http, self.retargeting_grpc]
        return [*fixed, self.sandbox_http, *services]


def service_environment(
    settings: UpSettings, *, secrets: Secrets, database_url: str, hint_url: str | None, bootstrap: str
) -> dict[str, str]:
    """The caller's environment, completed; a key ring is added for its owner only (see `for_service`)."""
    computed = {
        "VITRIN_DATABASE_URL": database_url,
        "VITRIN_KAFKA_BOOTSTRAP": bootstrap,
        "VITRIN_SERVICE_TOKEN": secrets.service_token,
        "VITRIN_ACCOUNTS_GRPC": f"{HOST}:{settings.accounts_grpc.number}",
        "VITRIN_CATALOG_GRPC": f"{HOST}:{settings.catalog_grpc.number}",
        **{port.setting: str(port.number) for port in settings.ports},
        "ACCOUNTS_SANDBOX_URL": f"http://{HOST}:{settings.sandbox_http.number}",
        "CATALOG_SPOOL_FOLDER": str(settings.var.root / "spool" / "catalog"),
        "CATALOG_PUBLIC_URL": os.environ.get("CATALOG_PUBLIC_URL")
        or f"http://{HOST}:{settings.catalog_http.number}",
        "RETARGETING_SPOOL_FOLDER": str(settings.var.root / "spool" / "retargeting"),
        "SANDBOX_STATE_FILE": str(settings.var.root / "sandbox" / "state"),
        "VITRIN_OUTBOUND_ALLOW": os.environ.get("VITRIN_OUTBOUND_ALLOW") or OUTBOUND_ALLOW,
        "PYTHONUNBUFFERED": "1",
    }
    if hint_url is not None:
        computed["VITRIN_HINT_DATABASE_URL"] = hint_url
    if settings.kafka_bootstrap is None:
        computed["VITRIN_KAFKA_MEMBERSHIP"] = "lock"
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    return {**inherited, **computed}


def for_service(environment: Mapping[str, str], *, name: str, secrets: Secrets) -> dict[str, str]:
    """What one process sees: secrets reach their owner and nobody else, the operator token every service."""
    foreign = {key for service, keys in SECRETS_OF.items() if service != name for key in keys}
    own = {key: value for key, value in environment.items() if key not in foreign}
    own["VITRIN_INSTANCE"] = f"{name}-0"
    own = {**SERVICE_ENVIRONMENT, **own}
    own.pop("VITRIN_OPERATOR_TOKEN", None)
    if name not in WITHOUT_OPERATOR:
        own["VITRIN_OPERATOR_TOKEN"] = secrets.operator_token
    if name == "accounts":
        own["ACCOUNTS_TOKEN_KEYS"] = secrets.token_keys
    if name == "catalog":
        own["CATALOG_SPOOL_KEYS"] = secrets.spool_keys
    if name == "notify":
        own["NOTIFY_SECRET_KEYS"] = secrets.webhook_keys
    if name == "retargeting":
        own["RETARGETING_SPOOL_KEYS"] = secrets.event_keys
    return own


def _integer(environment: Mapping[str, str], name: str, default: int, *, at_most: int | None = None) -> int:
    text = environment.get(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or (at_most is not None and int(text) > at_most):
        limit = "" if at_most is None else f" up to {at_most}"
        raise CliFailure(
            f"{name} is {text!r}, which is not a whole number{limit}",
            code="setting_invalid",
            exit_code=Exit.USAGE,
        )
    return int(text)
