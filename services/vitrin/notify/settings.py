"""Environment of notify: `NOTIFY_*` and the shared `VITRIN_*`."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr
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
        )
    )
