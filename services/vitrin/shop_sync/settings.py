"""Environment of shop_sync: `SHOP_SYNC_*` and the shared `VITRIN_*`."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from vitrin.kit.settings import (
    DatabaseSettings,
    GrpcSettings,
    HttpSettings,
    KafkaSettings,
    ProcessSettings,
    load,
)

SERVICE = "shop_sync"


class DispatchSettings(BaseSettings):
    """How batches are sent: `SHOP_SYNC_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="SHOP_SYNC_", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )
    window_ms: int = Field(
        250, ge=0, le=60_000, description="After a send, the next one waits so long and gathers changes."
    )
    batch_items_max: int = Field(5_000, ge=1, le=10_000, description="Most items in one call.")
    channels_max: int = Field(48, ge=1, le=500, description="Channels that one process works on at once.")
    look_first_ms: int = Field(
        1_000, ge=10, le=600_000, description="After an unknown outcome, so long until the first look."
    )
    verdict_timeout_s: int = Field(
        600, ge=1, description="Longest wait for a verdict before looking at what the platform shows."
    )
    alone_again_ms: int = Field(
        30_000,
        ge=10,
        le=3_600_000,
        description="An item that a platform failed alone and without a word is sent again after this time, then twice"
        " as long, and then again.",
    )
    shown_within_ms: int | None = Field(
        None,
        ge=10,
        le=86_400_000,
        description="What was accepted and is not shown after this time is sent again (unset: the platform's own).",
    )
    stuck_after_min: int = Field(
        15,
        ge=1,
        le=1_440,
        description="What has not moved for so many minutes is stuck, and the watchdog tells.",
    )
    rate_factor: float = Field(
        1.0,
        gt=0,
        le=1_000,
        description="Multiplies the platforms' documented rates; above 1 only where a sandbox counts no calls.",
    )


class GuardSettings(BaseSettings):
    """The removal guard's house side; its limits are the brand's (`/v1/removal-policy`). `SHOP_SYNC_REMOVAL_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="SHOP_SYNC_REMOVAL_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )
    remind_every_h: int = Field(
        24, ge=1, le=720, description="A request that waits for a decision says so again after so many hours."
    )
    keep_days: int = Field(90, ge=1, le=3650, description="Requests are kept so long after their end.")


class CheckoutSettings(BaseSettings):
    """Carts that platforms hand over: `SHOP_SYNC_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="SHOP_SYNC_", env_ignore_empty=True, extra="ignore", frozen=True
    )
    public_url: str = Field(
        "",
        description="Where shoppers reach this service, such as https://shop-sync.example; unset: as the request came.",
    )


class ShopSyncSettings(BaseModel):
    """Everything that the process needs."""

    model_config = ConfigDict(frozen=True)
    process: ProcessSettings
    database: DatabaseSettings
    kafka: KafkaSettings
    http: HttpSettings
    grpc: GrpcSettings
    dispatch: DispatchSettings
    guard: GuardSettings = Field(default_factory=GuardSettings)
    checkout: CheckoutSettings = Field(default_factory=CheckoutSettings)


def load_settings() -> ShopSyncSettings:
    """Raises SettingsInvalid, which names the variable."""
    return load(
        lambda: ShopSyncSettings(
            process=ProcessSettings(),
            database=DatabaseSettings(),
            kafka=KafkaSettings(),
            http=HttpSettings.of(SERVICE, port=8003),
            grpc=GrpcSettings.of(SERVICE, port=9003),
            dispatch=DispatchSettings(),
            guard=GuardSettings(),
            checkout=CheckoutSettings(),
        )
    )
