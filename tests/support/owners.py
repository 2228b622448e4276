"""The owner of topics as a replica sees it: a real gRPC server with a snapshot of what a test says."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import grpc

from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import ReadSession
from vitrin.kit.grpc.client import channel
from vitrin.kit.grpc.server import GrpcServer
from vitrin.kit.ids import BrandId
from vitrin.kit.settings import GrpcSettings
from vitrin.kit.state.snapshots import SnapshotServicer
from vitrin.kit.state.source import StatePage, StateSource

TOKEN = "a-service-token-of-the-tests"


class Nothing:
    """The state of a topic whose owner has no brand."""

    def __init__(self, topic: str) -> None:
        self.topic = topic

    async def next_brand(self, tx: ReadSession, after: BrandId | None) -> BrandId | None:
        return None

    async def page(self, tx: ReadSession, brand: BrandId, *, after: str, limit: int, lock: bool) -> StatePage:
        return StatePage([], None)


def nothing_of(topics: Sequence[str]) -> dict[str, StateSource]:
    return {topic: Nothing(topic) for topic in topics}


@asynccontextmanager
async def owner_of(
    sources: Mapping[str, StateSource], database: WorkerDatabase, *, port: int = 0, token: str = TOKEN
) -> AsyncIterator[GrpcServer]:
    """Serves the snapshots of these topics. `port` is the real one."""
    settings = GrpcSettings(service="owner", host="127.0.0.1", port=port, VITRIN_SERVICE_TOKEN=token)
    server = GrpcServer(settings, [SnapshotServicer(database, sources).add_to], token)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def door_of(port: int) -> grpc.aio.Channel:
    return channel(f"127.0.0.1:{port}", TOKEN)
