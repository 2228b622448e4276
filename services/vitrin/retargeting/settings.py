"""Environment of retargeting: `RETARGETING_*` and the shared `VITRIN_*`."""

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from vitrin.kit.settings import (
    DatabaseSettings,
    GrpcSettings,
    HttpSettings,
    KafkaSettings,
    ProcessSettings,
    load,
)

SERVICE: Final = "retargeting"
HTTP_PORT: Final = 8005
GRPC_PORT: Final = 9005
GIBIBYTE: Final = 1024**3


class CollectorSettings(BaseSettings):
    """The door of events and its spool: `RETARGETING_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="RETARGETING_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )
    spool_keys: SecretStr = Field(
        description="Key ring for events in the spool: key-id:base64 of 32 bytes, comma separated, first is current."
    )
    spool_folder: Path = Field(
        Path("var/spool/retargeting"),
        description="Folder of this process alone, on a disk that outlives it: what was acknowledged lies there, and"
        " the keys it has seen.",
    )
    ack: Literal["disk", "kafka"] = Field(
        "disk",
        description="Events are acknowledged when they are durable on the disk, or, where the folder does not outlive"
        " the process, only when Kafka has them too.",
    )
    ack_s: float = Field(
        5.0,
        gt=0,
        description="Longest wait for Kafka where `ack` is kafka; then 503, and the sender tries again.",
    )
    spool_keep_h: float = Field(
        72.0,
        gt=0,
        description="What all consumers have is kept so long all the same, should the broker lose it.",
    )
    spool_bytes_max: int = Field(
        16 * GIBIBYTE,
        ge=256 * 1024 * 1024,
        description="From this size on events are refused (503). Room for the rate times `spool_keep_h`.",
    )
    key_requests_max: int = Field(
        60_000, ge=1, description="Requests of one key in this process before it is told to wait."
    )
    key_window_s: int = Field(60, ge=1, description="Time over which that quota is refilled, evenly.")
    proxy_hops: int = Field(
        0,
        ge=0,
        le=10,
        description="Proxies of ours in front: a shopper's address is taken from X-Forwarded-For, so many entries from"
        " its end. 0: the peer's.",
    )


class RetargetingSettings(BaseModel):
    """Everything that the process needs."""

    model_config = ConfigDict(frozen=True)
    process: ProcessSettings
    database: DatabaseSettings
    kafka: KafkaSettings
    http: HttpSettings
    grpc: GrpcSettings
    collector: CollectorSettings


def load_settings() -> RetargetingSettings:
    """Raises SettingsInvalid, which names the variable."""
    return load(
        lambda: RetargetingSettings(
            process=ProcessSettings(),
            database=DatabaseSettings(),
            kafka=KafkaSettings(),
            http=HttpSettings.of(SERVICE, port=HTTP_PORT),
            grpc=GrpcSettings.of(SERVICE, port=GRPC_PORT),
            collector=CollectorSettings(),
        )
    )
