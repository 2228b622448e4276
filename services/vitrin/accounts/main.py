"""Composition root of accounts."""

import asyncio
from collections.abc import Mapping
from importlib.metadata import version

from fastapi import FastAPI

from vitrin.accounts.api import ROUTERS
from vitrin.accounts.connecting import Connecting, connecting, platform_http
from vitrin.accounts.rpc import AccessServicer, ConnectionServicer
from vitrin.accounts.rpc_seal import SealServicer
from vitrin.accounts.sealing import offboarding, seal_keys, seal_loop
from vitrin.accounts.service_audit import AuditLog
from vitrin.accounts.service_brands import Brands
from vitrin.accounts.service_keys import Keys
from vitrin.accounts.service_leases import OwnDirectory
from vitrin.accounts.service_offboarding import OffboardingLoop
from vitrin.accounts.service_outgoing import Switches
from vitrin.accounts.service_people import People
from vitrin.accounts.service_uses import UseBook
from vitrin.accounts.settings import AccountsSettings
from vitrin.accounts.state import SOURCES
from vitrin.accounts.tables import TABLES
from vitrin.accounts.tidying import Tidying
from vitrin.kit.access.uses import KeyUses
from vitrin.kit.brand_data import BrandExport, export_router
from vitrin.kit.clock import Clock, system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.grpc import GrpcServer
from vitrin.kit.http.app import Readiness, create_app
from vitrin.kit.idempotency import Once
from vitrin.kit.runtime import Role, Runtime
from vitrin.kit.state.snapshots import SnapshotServicer
from vitrin.protos.accounts.v1 import access_pb2_grpc, connection_pb2_grpc, seal_pb2_grpc

SERVICE = "accounts"
LONG_GONE = "select brand_id from brands where deleted_at <= cast(:now as timestamptz) - interval '8 days'"
"""The last events of a brand that has left are sent again for seven days, from its rows here."""
DESCRIPTION = "Brands, API keys and platform connections. Every change records its actor."


def build_app(
    settings: AccountsSettings,
    database: AppDatabase,
    clock: Clock = system_clock,
    readiness: Mapping[str, Readiness] | None = None,
    parts: Connecting | None = None,
) -> FastAPI:
    """Raises KeyRingInvalid, OAuthAppsInvalid. `readiness`: what else has to be there, beside the database. `parts`:
    those that the doors share; else the app has its own."""
    parts = parts or connecting(settings, database, clock, platform_http())
    return create_app(
        title="Vitrin accounts",
        description=DESCRIPTION,
        version=version("vitrin"),
        settings=settings.http,
        routers=[*ROUTERS, export_router()],
        readiness={"database": database.ping, **(readiness or {})},
        state={
            "access": OwnDirectory(database, clock),
            "operator_token": settings.process.operator,
            "bootstrap_token": settings.secrets.bootstrap,
            "clock": clock,
            "once": Once(database, clock),
            "export": BrandExport(SERVICE, database, TABLES),
            "brands": Brands(database, clock),
            "offboarding": offboarding(settings, database, clock),
            "keys": Keys(database, clock),
            "audit": AuditLog(database),
            "people": People(database, clock),
            "switches": Switches(database, clock),
            "connections": parts.connections,
            "connecting": parts,
            "public_url": settings.secrets.public_url,
        },
    )


def build_rpc(
    settings: AccountsSettings,
    database: AppDatabase,
    clock: Clock = system_clock,
    snapshots: SnapshotServicer | None = None,
    parts: Connecting | None = None,
    *,
    worker: WorkerDatabase,
) -> GrpcServer:
    """Without `snapshots` nobody can make a replica from here. `parts` as in `build_app`."""
    parts = parts or connecting(settings, database, clock, platform_http())
    access = AccessServicer(OwnDirectory(database, clock), Switches(database, clock), UseBook(worker))
    connection = ConnectionServicer(parts.leases, parts.shops)
    seal = SealServicer(seal_keys(settings, database, clock))
    return GrpcServer(
        settings.grpc,
        [
            lambda server: access_pb2_grpc.add_AccessServiceServicer_to_server(access, server),
            lambda server: connection_pb2_grpc.add_ConnectionServiceServicer_to_server(connection, server),
            lambda server: seal_pb2_grpc.add_SealServiceServicer_to_server(seal, server),
            *([snapshots.add_to] if snapshots is not None else []),
        ],
        settings.grpc.service_token.get_secret_value(),
    )


async def run(settings: AccountsSettings, *, role: Role = "all", stop: asyncio.Event) -> None:
    """Serves until `stop`. The first part that fails stops the others, and its exception is raised."""
    runtime = Runtime(
        service=SERVICE,
        role=role,
        clock=system_clock,
        process=settings.process,
        database=settings.database,
        kafka=settings.kafka,
    )
    runtime.owns(*SOURCES)
    runtime.purges(TABLES, due=LONG_GONE)
    http = platform_http()
    runtime.closing(http.close)
    parts = connecting(settings, runtime.app, system_clock, http)
    if runtime.is_worker:
        runtime.loop("token renewal", parts.loop(runtime.worker, settings, system_clock).run)
        runtime.loop("seal keys", seal_loop(settings, runtime.app, runtime.worker, system_clock).run)
        leaving = offboarding(settings, runtime.app, system_clock)
        runtime.loop("off-boarding", OffboardingLoop(runtime.worker, leaving, system_clock).run)
        runtime.loop("tidying", Tidying(runtime.worker, runtime.app, system_clock).run)
    if runtime.is_api:
        app = build_app(settings, runtime.app, readiness={"topics": runtime.topics_ready()}, parts=parts)
        uses = KeyUses(UseBook(runtime.worker).save, runtime.clock)
        app.state.key_uses = uses
        runtime.loop("key_uses", uses.run)
        runtime.http(app, settings.http)
        runtime.grpc(
            build_rpc(settings, runtime.app, snapshots=runtime.snapshots, parts=parts, worker=runtime.worker)
        )
    await runtime.run(stop)
