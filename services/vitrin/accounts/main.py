"""Composition root of accounts."""

import asyncio
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Any, Literal

from fastapi import FastAPI

from vitrin.accounts.api import ROUTERS
from vitrin.accounts.rpc import AccessServicer, ConnectionServicer
from vitrin.accounts.service_brands import Brands
from vitrin.accounts.service_connections import Connections
from vitrin.accounts.service_keys import Keys
from vitrin.accounts.service_leases import Leases, OwnDirectory
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.clock import Clock, system_clock
from vitrin.kit.crypto import TokenCipher
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.grpc import GrpcServer
from vitrin.kit.http import create_app, serve
from vitrin.kit.logs import configure_logging
from vitrin.kit.outbox.wake import Wake
from vitrin.protos.accounts.v1 import access_pb2_grpc, connection_pb2_grpc

SERVICE = "accounts"
DESCRIPTION = "Brands, API keys and platform connections. Every change records its actor."
Role = Literal["api", "worker", "all"]


def build_app(settings: AccountsSettings, database: AppDatabase, clock: Clock = system_clock) -> FastAPI:
    """Raises KeyRingInvalid."""
    cipher = TokenCipher.parse(settings.secrets.token_keys.get_secret_value())
    operator = settings.secrets.operator_token
    hosts = frozenset(host.strip() for host in settings.secrets.sandbox_hosts.split(",") if host.strip())
    return create_app(
        title="Vitrin accounts",
        description=DESCRIPTION,
        version=version("vitrin"),
        settings=settings.http,
        routers=ROUTERS,
        readiness={"database": database.ping},
        state={
            "access": OwnDirectory(database, clock),
            "operator_token": operator.get_secret_value() if operator else None,
            "clock": clock,
            "brands": Brands(database, clock),
            "keys": Keys(database, clock),
            "connections": Connections(
                database, clock, cipher, sandbox_url=settings.secrets.sandbox_url, sandbox_hosts=hosts
            ),
        },
    )


def build_rpc(settings: AccountsSettings, database: AppDatabase, clock: Clock = system_clock) -> GrpcServer:
    cipher = TokenCipher.parse(settings.secrets.token_keys.get_secret_value())
    access = AccessServicer(OwnDirectory(database, clock))
    connection = ConnectionServicer(Leases(database, clock, cipher))
    return GrpcServer(
        settings.grpc,
        [
            lambda server: access_pb2_grpc.add_AccessServiceServicer_to_server(access, server),
            lambda server: connection_pb2_grpc.add_ConnectionServiceServicer_to_server(connection, server),
        ],
        settings.grpc.service_token.get_secret_value(),
    )


async def run(settings: AccountsSettings, *, role: Role, stop: asyncio.Event) -> None:
    """Serves until `stop`. The first part that fails stops the others, and its exception is raised."""
    configure_logging(settings.process, service=SERVICE)
    wake = Wake(relay_is_here=role == "all")
    database = AppDatabase(settings=settings.database, service=SERVICE, clock=system_clock, wake=wake)
    parts: list[Coroutine[Any, Any, None]] = []
    if role in {"api", "all"}:
        parts.append(serve(build_app(settings, database), settings.http, stop))
        parts.append(_serve_rpc(build_rpc(settings, database), stop))
    if role in {"worker", "all"}:
        parts.append(_relay(settings, wake, stop))
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(_stopping_all(part, stop))
    finally:
        await database.close()


async def _stopping_all(part: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    try:
        await part
    finally:
        stop.set()


async def _serve_rpc(server: GrpcServer, stop: asyncio.Event) -> None:
    await server.start()
    try:
        await stop.wait()
    finally:
        await server.stop()


async def _relay(settings: AccountsSettings, wake: Wake, stop: asyncio.Event) -> None:
    from vitrin.kit.kafka.client import Probe  # noqa: PLC0415 - an api process needs no Kafka client
    from vitrin.kit.outbox.relay import Relay  # noqa: PLC0415

    worker = WorkerDatabase(settings=settings.database, service=SERVICE, clock=system_clock, wake=wake)
    probe = Probe(settings.kafka)
    try:
        await Relay(
            service=SERVICE,
            owner=settings.process.instance,
            database=worker,
            database_settings=settings.database,
            kafka_settings=settings.kafka,
            probe=probe,
            wake=wake,
            clock=system_clock,
        ).run(stop)
    finally:
        await probe.close()
        await worker.close()
