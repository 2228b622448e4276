"""Settings from the environment, in groups that services compose. Names are flat; secrets are masked.

`VITRIN_*` is shared by all services, `<SERVICE>_*` belongs to one. A value that cannot be used stops the
process at its start with `SettingsInvalid`, which names the variable and never repeats its value.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

T = TypeVar("T")

MEBIBYTE = 1024 * 1024
TOPICS_FILE = Path(__file__).resolve().parents[3] / "deploy" / "kafka" / "topics.yaml"
"""Where a checkout has it; an image sets VITRIN_TOPICS_FILE."""


class SettingsInvalid(Exception):
    """The environment cannot be used; the message lists each variable and what is wrong with it."""


class _Group(BaseSettings):
    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True, hide_input_in_errors=True
    )


class DatabaseSettings(_Group):
    """PostgreSQL. Each service has its own database and roles on the server that `url` names."""

    url: SecretStr = Field(
        validation_alias="VITRIN_DATABASE_URL",
        description="URL of the server; user and database are replaced by those of the service.",
    )
    role_password: SecretStr | None = Field(
        None,
        validation_alias="VITRIN_DATABASE_ROLE_PASSWORD",
        description="Password of the service roles; not needed where the server trusts the socket.",
    )
    hint_url: SecretStr | None = Field(
        None,
        validation_alias="VITRIN_HINT_DATABASE_URL",
        description="Embedded profile only: database where relays wake consumers by NOTIFY.",
    )
    app_pool_max: int = Field(
        6, ge=1, le=100, validation_alias="VITRIN_DATABASE_APP_POOL_MAX", description="Connections, app role."
    )
    worker_pool_max: int = Field(
        4,
        ge=1,
        le=100,
        validation_alias="VITRIN_DATABASE_WORKER_POOL_MAX",
        description="Connections, worker role.",
    )
    connect_timeout_s: int = Field(
        5, ge=1, validation_alias="VITRIN_DATABASE_CONNECT_TIMEOUT_S", description="Time to open one."
    )
    statement_timeout_ms: int = Field(
        30_000,
        ge=100,
        validation_alias="VITRIN_DATABASE_STATEMENT_TIMEOUT_MS",
        description="Longest statement of the app and worker roles.",
    )
    idle_transaction_timeout_ms: int = Field(
        60_000,
        ge=1_000,
        validation_alias="VITRIN_DATABASE_IDLE_TRANSACTION_TIMEOUT_MS",
        description="How long a transaction may stay open doing nothing: a process that stalls gives its locks back.",
    )


class KafkaSettings(_Group):
    """The Kafka protocol: Apache Kafka, or the embedded broker."""

    bootstrap: str = Field(
        "127.0.0.1:9092", validation_alias="VITRIN_KAFKA_BOOTSTRAP", description="host:port, comma separated."
    )
    membership: Literal["group", "lock"] = Field(
        "group",
        validation_alias="VITRIN_KAFKA_MEMBERSHIP",
        description="group: consumer groups. lock: assign() under an advisory lock (embedded profile).",
    )
    session_timeout_ms: int = Field(
        6_000, ge=1_000, validation_alias="VITRIN_KAFKA_SESSION_TIMEOUT_MS", description="Group session."
    )
    topic_prefix: str = Field(
        "", validation_alias="VITRIN_KAFKA_TOPIC_PREFIX", description="Put before every topic name."
    )
    replication: int | None = Field(
        None,
        ge=1,
        le=9,
        validation_alias="VITRIN_KAFKA_REPLICATION",
        description="Copies of each topic that `vitrin topics` makes; without it what topics.yaml says (1).",
    )
    topics_file: Path = Field(
        TOPICS_FILE, validation_alias="VITRIN_TOPICS_FILE", description="Declarations of all topics."
    )


class HttpSettings(_Group):
    """The HTTP door of one service: `<SERVICE>_HTTP_*`. Use `HttpSettings.of(service, port=...)`."""

    service: str = Field("vitrin", description="Name of the service in logs and metrics.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(0, ge=0, le=65_535, description="Port to listen on; 0 lets the system choose.")
    body_bytes_max: int = Field(10 * MEBIBYTE, ge=1, description="Largest request body in bytes.")
    page_items_max: int = Field(500, ge=1, description="Largest page of a list.")
    rate_requests_max: int = Field(
        12_000, ge=1, description="Requests of one API key in this process before it is told to wait."
    )
    rate_window_s: int = Field(
        60, ge=1, le=86_400, description="Time over which that quota is refilled, evenly."
    )
    shutdown_grace_s: int = Field(10, ge=0, description="Time for open requests to end.")

    @classmethod
    def of(cls, service: str, *, port: int) -> "HttpSettings":
        group = cls(_env_prefix=f"{service.upper()}_HTTP_")
        update: dict[str, object] = {"service": service}
        if "port" not in group.model_fields_set:
            update["port"] = port
        return group.model_copy(update=update)


class GrpcSettings(_Group):
    """The gRPC door of one service (`<SERVICE>_GRPC_*`) and the addresses of the others."""

    service: str = Field("vitrin", description="Name of the service in logs and metrics.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(0, ge=0, le=65_535, description="Port to listen on; 0 lets the system choose.")
    service_token: SecretStr = Field(
        validation_alias="VITRIN_SERVICE_TOKEN",
        min_length=16,
        description="Shared by all services; whoever knows it may call them by gRPC. At least 16 characters.",
    )
    accounts_address: str = Field(
        "127.0.0.1:9001", validation_alias="VITRIN_ACCOUNTS_GRPC", description="host:port of accounts."
    )
    catalog_address: str = Field(
        "127.0.0.1:9002", validation_alias="VITRIN_CATALOG_GRPC", description="host:port of catalog."
    )

    @classmethod
    def of(cls, service: str, *, port: int) -> "GrpcSettings":
        group = cls(_env_prefix=f"{service.upper()}_GRPC_")
        update: dict[str, object] = {"service": service}
        if "port" not in group.model_fields_set:
            update["port"] = port
        return group.model_copy(update=update)


class ProcessSettings(_Group):
    """What every process has: its name, how it logs, and who operates it."""

    instance: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        validation_alias="VITRIN_INSTANCE",
        description="Stable name of this process, for example catalog-0.",
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", validation_alias="VITRIN_LOG_FORMAT", description="auto: console on a terminal, else JSON."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", validation_alias="VITRIN_LOG_LEVEL", description="Lowest level that is written."
    )
    operator_token: SecretStr | None = Field(
        None,
        min_length=16,
        validation_alias="VITRIN_OPERATOR_TOKEN",
        description="Whoever knows it may create brands and use /v1/ops of every service. Without it nobody can.",
    )

    @property
    def operator(self) -> str | None:
        """The token itself; None where none is configured."""
        return self.operator_token.get_secret_value() if self.operator_token else None


def load(build: Callable[[], T]) -> T:
    """Calls `build` (it reads the environment) and turns what pydantic says into `SettingsInvalid`."""
    try:
        return build()
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False, include_context=False):
            name = "_".join(str(part) for part in problem["loc"])
            lines.append(f"{name}: {problem['msg']}")
        raise SettingsInvalid(f"{error.title}: " + "; ".join(lines)) from None
