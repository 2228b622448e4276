"""What accounts takes from the environment: the shared groups and `ACCOUNTS_*` of its own."""

from dataclasses import dataclass

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from vitrin.kit.settings import (
    DatabaseSettings,
    GrpcSettings,
    HttpSettings,
    KafkaSettings,
    ProcessSettings,
    load,
)

HTTP_PORT = 8001
GRPC_PORT = 9001


class SecretsSettings(BaseSettings):
    """Secrets and hosts that only accounts needs."""

    model_config = SettingsConfigDict(
        env_prefix="ACCOUNTS_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    token_keys: SecretStr = Field(
        description="Key ring for platform tokens: key-id:base64 of 32 bytes, comma separated, first is current."
    )
    bootstrap_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="Whoever knows it may make the first brand of this server, once. Without it only the operator can.",
    )
    sandbox_url: str = Field(
        "http://127.0.0.1:8090",
        description="Where the sandbox is, for connections in mode sandbox without a base_url.",
    )
    sandbox_hosts: str = Field(
        "", description="Hosts beside loopback that a sandbox connection may name, comma separated."
    )
    oauth_apps: SecretStr = Field(
        SecretStr(""), description="The house's apps: platform:app-id:secret, comma separated."
    )
    oauth_sandbox_apps: SecretStr = Field(
        SecretStr(
            "meta:990000000000001:sandbox-secret-of-the-meta-app,"
            "pinterest:1490001:sandbox-secret-of-the-pinterest-app,"
            "shopify:5a4d0b0c5a4d0b0c5a4d0b0c5a4d0b0c:shpss_sandbox-secret-of-the-shopify-app"
        ),
        description="The same for connections to the sandbox; by default the apps that every sandbox knows.",
    )
    public_url: str = Field(
        "",
        description="Where platforms send people back to (scheme and host of accounts, seen from outside). Empty: the "
        "address of the request, where that is this machine.",
    )
    renewal_every_s: float = Field(
        5.0, gt=0, le=300, description="Pause between two looks for tokens to renew, in seconds."
    )

    seal_lease_s: int = Field(
        900,
        ge=60,
        le=3600,
        description="How long another service may hold a key of personal data, in seconds: how long it works without "
        "accounts, and how long an erased person can still be opened there.",
    )
    seal_day_keep_days: int = Field(
        45,
        ge=41,
        le=400,
        description="Age at which the key of a brand and day is destroyed, in days. Not less than what it sealed is "
        "kept: spool 3, outbox 7, topic 30.",
    )
    seal_backup_keep_days: int = Field(
        30,
        ge=0,
        le=400,
        description="How long your backups of the table of these keys live, in days (ADR 20). Receipts of erasures "
        "name the date that follows from it; nothing here makes or removes backups.",
    )

    offboard_grace_days: int = Field(
        7, ge=0, le=90, description="How long the end of a brand can be taken back, in days."
    )

    @property
    def bootstrap(self) -> str | None:
        """The token itself; None where none is configured."""
        return self.bootstrap_token.get_secret_value() if self.bootstrap_token else None


@dataclass(frozen=True, slots=True)
class AccountsSettings:
    process: ProcessSettings
    database: DatabaseSettings
    kafka: KafkaSettings
    http: HttpSettings
    grpc: GrpcSettings
    secrets: SecretsSettings


def load_settings() -> AccountsSettings:
    """Raises SettingsInvalid, which names the variable."""
    return AccountsSettings(
        process=load(ProcessSettings),
        database=load(DatabaseSettings),
        kafka=load(KafkaSettings),
        http=load(lambda: HttpSettings.of("accounts", port=HTTP_PORT)),
        grpc=load(lambda: GrpcSettings.of("accounts", port=GRPC_PORT)),
        secrets=load(SecretsSettings),
    )
