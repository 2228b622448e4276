"""What the catalog takes from the environment: the shared groups and `CATALOG_*` of its own."""

from dataclasses import dataclass, field

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from vitrin.catalog.shop.settings import ShopSettings
from vitrin.kit.outbound import OutboundSettings
from vitrin.kit.settings import (
    MEBIBYTE,
    DatabaseSettings,
    GrpcSettings,
    HttpSettings,
    KafkaSettings,
    ProcessSettings,
    load,
)

HTTP_PORT = 8002
GRPC_PORT = 9002


class ImportSettings(BaseSettings):
    """Batches, uploads and the loop that applies them (`CATALOG_*`)."""

    model_config = SettingsConfigDict(
        env_prefix="CATALOG_", env_ignore_empty=True, extra="ignore", frozen=True
    )

    batch_bytes_max: int = Field(32 * MEBIBYTE, ge=1, description="Largest body of a batch, in bytes.")
    import_bytes_max: int = Field(1024 * MEBIBYTE, ge=1, description="Largest uploaded file, in bytes.")
    import_poll_s: float = Field(
        3.0, gt=0, description="How often the loop looks for work nobody told it of."
    )
    import_lease_s: int = Field(
        30, ge=5, description="After this silence another worker takes an import over."
    )
    import_attempts_max: int = Field(
        8, ge=1, description="Times an import is begun without a step forward before it counts as failed."
    )
    import_retry_pause_s: float = Field(
        5.0,
        ge=0,
        description="Rest of an import that was begun twice in vain; doubled each time, at most 60 s.",
    )
    import_upload_silence_s: int = Field(
        300, ge=1, description="An upload without a byte for so long is aborted."
    )
    import_fetch_attempts_max: int = Field(
        6, ge=1, description="Times an address is tried before the import is given up."
    )
    import_fetch_pause_s: float = Field(
        5.0,
        ge=0,
        description="Rest after the first failed try of an address; four times longer each time, at most an hour.",
    )
    import_fetch_rate_min: int = Field(
        16 * 1024,
        ge=0,
        description="Bytes a second that a fetch must bring after its first minute, on average.",
    )
    import_fetch_connect_s: float = Field(10.0, gt=0, description="Time to connect to an address.")
    import_fetch_silence_s: float = Field(
        60.0, gt=0, description="A fetch without a byte for so long is broken."
    )
    import_fetch_total_s: float = Field(3_600.0, gt=0, description="Longest fetch of a file.")
    orders_keep_days: int = Field(
        400, ge=1, description="So long after its last change an order of a shop is deleted."
    )
    import_rows_keep_days: int = Field(30, ge=1, description="Age at which reports per row are deleted.")


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    process: ProcessSettings
    database: DatabaseSettings
    kafka: KafkaSettings
    http: HttpSettings
    grpc: GrpcSettings
    imports: ImportSettings
    shops: ShopSettings
    outbound: OutboundSettings = field(default_factory=OutboundSettings)


def load_settings() -> CatalogSettings:
    """Raises SettingsInvalid, which names the variable."""
    return CatalogSettings(
        process=load(ProcessSettings),
        database=load(DatabaseSettings),
        kafka=load(KafkaSettings),
        http=load(lambda: HttpSettings.of("catalog", port=HTTP_PORT)),
        grpc=load(lambda: GrpcSettings.of("catalog", port=GRPC_PORT)),
        imports=load(ImportSettings),
        shops=load(ShopSettings),
        outbound=load(OutboundSettings),
    )
