"""Processes of the test service `spine`: `python -m tests.support.spine_process relay|member NAME`, settings from the
environment as for any service. And the test's handle on one of them: kill it, stall it, let it go on."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from tests.support.apache import ROOT, dies_with_parent
from tests.support.spine import SERVICE, Spine
from vitrin.kit.embedded.process import spawn
from vitrin.kit.logs import configure_logging
from vitrin.kit.settings import DatabaseSettings, KafkaSettings, ProcessSettings

Part = Literal["relay", "member"]
UNTIL_S = 60.0
UP = "spine process is up"
BEHAVIOUR = "SPINE_BEHAVIOUR"


class SpineProcess:
    """One process. It is started again under the same name, as an orchestrator would. `behaviour`: `pause_before_s`,
    `pause_after_s`, `poison` of its Spine."""

    def __init__(
        self,
        part: Part,
        name: str,
        *,
        database: DatabaseSettings,
        kafka: KafkaSettings,
        directory: Path,
        **behaviour: object,
    ) -> None:
        self.part = part
        self.name = name
        self.log_path = directory / f"{name}.log"
        self._environment = {**_environment(database, kafka), BEHAVIOUR: json.dumps(behaviour)}
        self._running: subprocess.Popen[bytes] | None = None
        self._starts = 0

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._running is not None, f"{self.name} does not run"
        return self._running

    @property
    def is_running(self) -> bool:
        return self._running is not None

    @property
    def is_up(self) -> bool:
        """True once the latest process of this name has said that it runs."""
        return self.log().count(UP) >= self._starts

    def start(self) -> None:
        command = [
            *dies_with_parent(),
            sys.executable,
            "-m",
            "tests.support.spine_process",
            self.part,
            self.name,
        ]
        self._starts += 1
        self._running = spawn(command, log_path=self.log_path, environment=self._environment, cwd=ROOT)

    def kill(self) -> None:
        """kill -9, wherever it is."""
        self.process.kill()
        self.process.wait()
        self._running = None

    def stall(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def until_up(self) -> None:
        await until(lambda: self.is_up, f"{self.name} runs")

    async def stop(self) -> int:
        """SIGTERM once it is up, and its exit code; kill -9 when it does not end."""
        if self._running is None:
            return 0
        await self.until_up()
        self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(self.process.wait, UNTIL_S)
        finally:
            self.process.kill()
            self._running = None

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8") if self.log_path.exists() else ""


async def until(condition: Callable[[], object], what: str, *, deadline_s: float = UNTIL_S) -> None:
    """Waits until `condition` is true; AssertionError with `what` after the deadline."""
    end = asyncio.get_running_loop().time() + deadline_s
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"not within {deadline_s:.0f} s: {what}"
        await asyncio.sleep(0.05)


def _environment(database: DatabaseSettings, kafka: KafkaSettings) -> Mapping[str, str]:
    hints = {"VITRIN_HINT_DATABASE_URL": database.hint_url.get_secret_value()} if database.hint_url else {}
    return {
        **os.environ,
        **hints,
        "PYTHONUNBUFFERED": "1",  # what it said before a kill -9 is there
        "PYTHONPATH": os.pathsep.join([str(ROOT / "services"), str(ROOT)]),
        "VITRIN_DATABASE_URL": database.url.get_secret_value(),
        "VITRIN_DATABASE_IDLE_TRANSACTION_TIMEOUT_MS": str(database.idle_transaction_timeout_ms),
        "VITRIN_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "VITRIN_KAFKA_MEMBERSHIP": kafka.membership,
        "VITRIN_KAFKA_SESSION_TIMEOUT_MS": str(kafka.session_timeout_ms),
        "VITRIN_KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
    }


async def _serve(part: str, name: str) -> None:
    configure_logging(ProcessSettings(), service=SERVICE)
    spine = Spine(
        DatabaseSettings(),
        KafkaSettings(),
        owner=name,
        relay_is_here=part == "relay",
        member=part == "member",
        **json.loads(os.environ[BEHAVIOUR]),
    )
    loop = asyncio.get_running_loop()
    async with spine.running():
        loop.add_signal_handler(signal.SIGTERM, spine.stop.set)
        print(UP, flush=True)
        await spine.stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:3]))
