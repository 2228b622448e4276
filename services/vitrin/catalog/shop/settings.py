"""Environment of the shops' way into the catalog: `CATALOG_*`."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ShopSettings(BaseSettings):
    """The door of webhooks, its spool, and how often shops are asked."""

    model_config = SettingsConfigDict(
        env_prefix="CATALOG_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )
    spool_keys: SecretStr = Field(
        description="Key ring for webhooks in spool and table: key-id:base64 of 32 bytes, comma separated, first is"
        " current."
    )
    spool_folder: Path = Field(
        Path("var/spool/catalog"),
        description="Folder of this process alone, on a disk that outlives it: what was acknowledged lies there.",
    )
    public_url: str = Field(
        "", description="Where shops reach the catalog, https; without it live shops are only reconciled."
    )
    shops_at_once: int = Field(8, ge=1, le=200, description="Shops whose deliveries are applied at once.")
    tended_at_once: int = Field(4, ge=1, le=200, description="Shops that are loaded or reconciled at once.")
    reconcile_delta_s: float = Field(
        300.0, gt=0, description="A shop is asked for its latest changes so often, a tenth more or less."
    )
    reconcile_full_h: float = Field(
        24.0, gt=0, description="A shop is read whole so often, a tenth more or less."
    )
