"""Environment of notify: `NOTIFY_*` and the shared `VITRIN_*`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from vitrin.kit.outbound.settings import OutboundSettings
from vitrin.kit.settings import (
    DatabaseSettings,
    GrpcSettings,
    HttpSettings,
    KafkaSettings,
    ProcessSettings,
    load,
)

SERVICE = "notify"
HTTP_PORT = 8006
GRPC_PORT = 9006


class WebhookSettings(BaseSettings):
    """How webhooks go out: `NOTIFY_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="NOTIFY_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )
    secret_keys: SecretStr = Field(
        description="Key ring for endpoint secrets: key-id:base64 of 32 bytes, comma separated, first is current."
    )
    timeout_s: float = Field(
        15.0, gt=0, le=60, description="An endpoint that has not answered after so many seconds has failed."
    )
    endpoints_at_once: int = Field(
        64,
        ge=2,
        le=500,
        description="Endpoints that one process delivers to at once; slow ones get half at most.",
    )
    calls_per_endpoint: int = Field(4, ge=1, le=32, description="Calls to one endpoint at once.")
    disable_after_h: int = Field(
        120, ge=1, le=720, description="An endpoint that only fails for so many hours is disabled."
    )


class SmtpSettings(BaseSettings):
    """The mail server: `NOTIFY_SMTP_<NAME>`. Without a host no e-mail is sent."""

    model_config = SettingsConfigDict(
        env_prefix="NOTIFY_SMTP_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )
    host: str = Field("", description="Name of the mail server; empty: no e-mail.")
    port: int = Field(587, ge=1, le=65535, description="465 with tls, 587 with starttls.")
    user: str = Field("", description="For the login; empty: none.")
    password: SecretStr = Field(SecretStr(""), description="For the login.")
    tls: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="starttls, tls (from the first byte), or none on a safe network."
    )
    sender: str = Field(
        "", validation_alias="NOTIFY_SMTP_FROM", description="Address that messages come from."
    )
    timeout_s: float = Field(30.0, gt=0, le=60, description="A message that was not taken by then failed.")

    @model_validator(mode="after")
    def _has_a_sender(self) -> "SmtpSettings":
        if self.host and "@" not in self.sender:
            raise ValueError("NOTIFY_SMTP_HOST is set, so NOTIFY_SMTP_FROM must be an address")
        return self


class NotificationSettings(BaseSettings):
    """Channels of notifications: `NOTIFY_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="NOTIFY_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )
    slack_hosts: str = Field(
        "hooks.slack.com,hooks.slack-gov.com",
        description="Hosts that a Slack URL may name, comma separated; your own Mattermost too.",
    )
    messages_per_hour: int = Field(
        60,
        ge=1,
        le=10_000,
        description="Messages of one brand within an hour; what is more waits and goes together.",
    )


class NotifySettings(BaseModel):
    """Everything that the process needs."""

    model_config = ConfigDict(frozen=True)
    process: ProcessSettings
    database: DatabaseSettings
    kafka: KafkaSettings
    http: HttpSettings
    grpc: GrpcSettings
    webhooks: WebhookSettings
    outbound: OutboundSettings = Field(default_factory=OutboundSettings)
    smtp: SmtpSettings = Field(default_factory=SmtpSettings)
    notifications: NotificationSettings = Field(default_factory=NotificationSettings)


def load_settings() -> NotifySettings:
    """Raises SettingsInvalid, which names the variable."""
    return load(
        lambda: NotifySettings(
            process=ProcessSettings(),
            database=DatabaseSettings(),
            kafka=KafkaSettings(),
            http=HttpSettings.of(SERVICE, port=HTTP_PORT),
            grpc=GrpcSettings.of(SERVICE, port=GRPC_PORT),
            webhooks=WebhookSettings(),
            outbound=OutboundSettings(),
            smtp=SmtpSettings(),
            notifications=NotificationSettings(),
        )
    )
