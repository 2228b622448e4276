"""Settings of the sandbox, read from ``SANDBOX_*``. Limits marked *unverified* are guesses about the platform."""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SandboxSettings(BaseSettings):
    """How the stand-in listens, how slow it is and how much it remembers."""

    model_config = SettingsConfigDict(
        env_prefix="SANDBOX_", env_ignore_empty=True, frozen=True, populate_by_name=True
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on; loopback only by default.")
    port: int = Field(default=8090, ge=0, le=65535, description="TCP port to listen on; 0 picks a free one.")
    state_file: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("SANDBOX_STATE_FILE", "SANDBOX_STATE_PATH"),
        description="File that keeps what the platforms hold over a restart; without it all is in memory only.",
    )
    quota: bool = Field(
        default=True, description="Whether calls are limited as on the platform; off for benchmarks."
    )
    polls_before_finished: int = Field(
        default=1, ge=0, le=1000, description="Polls of a batch that still say 'not finished'."
    )
    batch_latency_ms: int = Field(
        default=50,
        ge=0,
        description="Time from accepting a batch to its items being changed, in milliseconds.",
    )
    batches_kept_max: int = Field(
        default=5_000, ge=1, description="Finished batches whose result can be polled."
    )
    log_entries_max: int = Field(default=5_000, ge=1, description="Requests that the log remembers.")
    log_item_ids_max: int = Field(default=50, ge=0, description="Item ids per log entry.")
    faults_max: int = Field(default=100, ge=1, description="Faults that can be active at once.")
    accounts_max: int = Field(default=2_000, ge=1, description="Accounts per platform.")

    hooks_kept_max: int = Field(
        default=5_000, ge=1, description="Webhooks of the shops whose outcome is remembered."
    )
    hook_time_scale: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Factor on the time between a shop's tries to send a webhook; 0.001 makes four hours 15 seconds.",
    )
    hook_parallel: int = Field(default=20, ge=1, le=1_000, description="Webhooks that are sent at once.")
    bulk_latency_ms: int = Field(
        default=50, ge=0, description="Time that a bulk operation waits, and then runs, in milliseconds each."
    )
    shopify_points_max: int = Field(
        default=2_000, ge=1, description="Query points of a full bucket, per app and Shopify shop."
    )
    shopify_points_per_second: int = Field(
        default=100, ge=1, description="Query points that come back per second (standard plans)."
    )

    match_share: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="Share of all hashes that an ad network knows, always the same ones.",
    )
    audience_latency_ms: int = Field(
        default=2_000,
        ge=0,
        description="Time until a change of an audience shows in its size, in milliseconds; hours at the networks.",
    )
    conversion_latency_ms: int = Field(
        default=2_000,
        ge=0,
        description="Time until an event shows in what a network reports, in milliseconds.",
    )
    conversions_kept_max: int = Field(
        default=20_000, ge=1, description="Conversion events per network that are remembered and counted."
    )
    meta_audience_people_min: int = Field(
        default=100,
        ge=0,
        description="Matched people below which Meta refuses removals from an audience (unverified).",
    )
    meta_body_bytes_max: int = Field(
        default=30 * 1024 * 1024, ge=1024, description="Largest body for Meta, in bytes (unverified)."
    )
    meta_catalog_traffic: int = Field(
        default=0,
        ge=0,
        description="Ad impressions plus product page visits in 28 days; sets Meta's calls per minute and catalog.",
    )
    meta_error_samples_max: int = Field(
        default=100,
        ge=1,
        description="Errors that a batch status lists; Meta documents a sample (size unverified).",
    )
    meta_validation: Literal["per_item", "whole_batch"] = Field(
        default="per_item",
        description="Whether one malformed item leaves the others in, or empties the batch (unverified).",
    )

    pinterest_body_bytes_max: int = Field(
        default=30 * 1024 * 1024, ge=1024, description="Largest body for Pinterest, in bytes (unverified)."
    )
    pinterest_catalogs_write_per_minute: int = Field(
        default=1_000,
        ge=1,
        description="Pinterest's catalogs_write calls per minute and account (unverified).",
    )
    pinterest_catalogs_read_per_minute: int = Field(
        default=1_000,
        ge=1,
        description="Pinterest's catalogs_read calls per minute and account (unverified).",
    )
    pinterest_conversions_per_minute: int = Field(
        default=5_000, ge=1, description="Pinterest's calls with conversion events per minute and ad account."
    )
    pinterest_event_days_max: int = Field(
        default=7, ge=1, description="Age in days of the oldest event that Pinterest takes (unverified)."
    )
    pinterest_calls_per_second: int = Field(
        default=100, ge=1, description="All of Pinterest's calls per second and account, for a standard app."
    )
    pinterest_duplicate_window_ms: int = Field(
        default=60_000,
        ge=0,
        description="Time in which an identical Pinterest batch is skipped (unverified).",
    )
