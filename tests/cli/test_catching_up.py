"""A start that takes long because there is much to read is waited for; one that moves nothing is not."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from tests.kit.serving import serving
from tests.support.brokers import Broker, kafka_settings
from tests.support.spine import Spine, database_settings, install
from vitrin.cli.supervisor.parts import CommandPart
from vitrin.cli.supervisor.readiness import Look, Patience
from vitrin.cli.supervisor.unit import State, Unit
from vitrin.events.envelope import Message
from vitrin.kit.clock import system_clock
from vitrin.kit.db.session import WriteSession
from vitrin.kit.embedded.errors import StartFailed
from vitrin.kit.http.app import create_app
from vitrin.kit.runtime import Runtime
from vitrin.kit.settings import HttpSettings

NO_PROGRESS_S = 30.0
BETWEEN_LOOKS_S = 10.0
WAIT_S = 60.0


@dataclass
class Gated(Spine):
    """Handles one micro-batch for each time that it is let."""

    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def handle(self, tx: WriteSession, messages: Sequence[Message]) -> None:
        await self.gate.acquire()
        await super().handle(tx, messages)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def send_backlog(writer: Spine) -> None:
    brand = uuid4()

    async def all_sent() -> bool:
        async with writer.worker.read([brand]) as session:
            return not await session.scalar(text("select count(*) from outbox where sent_at is null"))

    async with writer.running():
        for number in range(6):
            await writer.change_many(brand, [[f"thing-{number}-{place:03}" for place in range(500)]])
        await until(all_sent)


async def test_a_backlog_that_is_read_is_waited_for_and_one_that_is_not_is_given_up(
    postgres_url: str, broker: Broker, tmp_path: Path
) -> None:
    """The service's clock of patience is the test's: each look at it is ten seconds after the last."""
    settings = database_settings(postgres_url, hints=broker.membership == "lock")
    install(settings)
    kafka = kafka_settings(broker)
    await send_backlog(Spine(settings, kafka, member=False))
    spine = Gated(settings, kafka, relay_is_here=False)
    app = create_app(
        title="Spine",
        description="",
        version="0",
        settings=HttpSettings(service="spine"),
        routers=[],
        readiness={"seen": Runtime.caught_up(spine.consumer)},
        state={},
    )
    part = CommandPart(
        name="spine",
        log_path=tmp_path / "spine.log",
        arguments=["-c", "import time; print('its last words', flush=True); time.sleep(600)"],
        environment=dict,
        ready_url="/readyz",
    )
    unit = Unit(part, no_progress_s=NO_PROGRESS_S)
    said: list[str] = []
    now_s, batches = 0.0, 2

    async def look(url: str) -> Look:
        nonlocal now_s, batches
        before = spine.consumer.records_read

        async def moved() -> bool:
            return spine.consumer.records_read > before or spine.consumer.age_s() < float("inf")

        if batches:
            batches -= 1
            spine.gate.release()
            await until(moved)
        now_s += BETWEEN_LOOKS_S
        answer: httpx.Response = await client.get(url)
        return Look.of(answer.status_code, answer.json())

    async def start() -> None:
        await unit.start(clock=system_clock, looks=look, say=said.append, monotonic_s=lambda: now_s)

    try:
        async with spine.running(), serving(app, HttpSettings(service="spine", port=0)) as client:
            with pytest.raises(
                StartFailed, match=r"nothing moved for 30 s after [\d,]+ records: .*spine\.seen"
            ):
                await start()
            assert spine.consumer.age_s() == float("inf")
            assert "its last words" in "".join(unit.tail())
            await unit.stop()
            began_s, batches, read = now_s, 1_000, spine.consumer.records_read
            await start()
            assert unit.state is State.READY
            assert (await client.get("/readyz")).json() == {"status": "ok", "checks": {"seen": "ok"}}
            # It was waited for beyond the limit, since it moved.
            assert now_s - began_s > NO_PROGRESS_S
            assert spine.consumer.records_read >= read + 1_000
            assert spine.consumer.records_left() in (0, None)
            assert any("records read" in line and " left" in line for line in said), said
            assert unit.progress == ""
    finally:
        await unit.stop()


def test_what_counts_as_progress() -> None:
    def looks(read: int, left: int | None) -> Look:
        document = {
            "status": "not_ready",
            "checks": {"database": "ok", "access": "CatchingUp: access is behind"},
            "progress": {"access": {"read": read, "left": left}},
        }
        return Look.of(503, document)

    patience = Patience(100.0, 10.0)
    assert patience.hear(Look(), 101.0) == ""
    assert patience.hear(looks(0, None), 102.0) == ""
    assert patience.is_over(109.9) is False
    assert patience.is_over(110.0) is True
    assert patience.hear(looks(1_000, 9_000), 108.0) == ("catches up: 1,000 records read, 125/s, 9,000 left")
    # The same number again is no progress, and neither is a smaller one, or no answer.
    for look in (looks(1_000, 9_500), looks(400, 9_500), Look()):
        assert patience.hear(look, 117.0) == ""
    assert (patience.is_over(117.9), patience.is_over(118.0)) == (False, True)
    assert patience.reason() == (
        "not ready, and nothing moved for 10 s after 1,000 records: CatchingUp: access is behind"
    )
    assert patience.hear(looks(2_000, None), 118.0) == (
        "catches up: 2,000 records read, 100/s, of access unknown how many"
    )
    # Known how many: records that leave as many behind are live traffic, and no progress.
    patience = Patience(100.0, 10.0)
    patience.hear(looks(10, 500), 101.0)
    patience.hear(looks(90, 500), 105.0)
    patience.hear(looks(120, 510), 110.0)
    assert (patience.is_over(110.9), patience.is_over(111.0)) == (False, True)
    patience.hear(looks(120, 509), 110.5)
    assert patience.is_over(111.0) is False
    assert Look.of(200, {"status": "ok"}) == Look(ready=True)
    assert Look.of(500, None) == Look(waits="HTTP 500")
    assert Patience(0.0, 2.0).reason() == "not ready, and nothing moved for 2 s: it did not answer"
