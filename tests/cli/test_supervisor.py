"""The supervisor with real processes: PostgreSQL, the broker and the sandbox."""

import asyncio
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from vitrin.cli.failures import CliFailure
from vitrin.cli.settings import Var
from vitrin.cli.supervisor.parts import Part
from vitrin.cli.supervisor.preparation import Preparation
from vitrin.cli.supervisor.settings import UpSettings
from vitrin.cli.supervisor.state import VarLock, running_state, stop_left_over, up_is_running
from vitrin.cli.supervisor.supervisor import Supervisor
from vitrin.cli.supervisor.unit import State, Unit
from vitrin.kit.clock import system_clock
from vitrin.kit.embedded.ports import free_port, port_is_free

PORTS = (
    "ACCOUNTS_HTTP_PORT",
    "ACCOUNTS_GRPC_PORT",
    "CATALOG_HTTP_PORT",
    "CATALOG_GRPC_PORT",
    "SHOP_SYNC_HTTP_PORT",
    "SHOP_SYNC_GRPC_PORT",
    "NOTIFY_HTTP_PORT",
    "NOTIFY_GRPC_PORT",
    "SANDBOX_PORT",
)


class DataAndSandbox(Preparation):
    """Everything but the services and their schema, so that the supervisor is tested and not they."""

    def service_parts(self) -> list[Part]:
        return [part for part in super().service_parts() if part.name == "sandbox"]

    async def prepare(self) -> None:
        await self.create_topics()


def settings_in(directory: Path, **more: str) -> UpSettings:
    return UpSettings.from_environment(
        {"VITRIN_VAR": str(directory), **{name: str(free_port()) for name in PORTS}, **more}
    )


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRIN_POSTGRES_FSYNC", "off")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.05)


async def test_starts_in_order_restarts_the_dead_and_stops_everything(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(DataAndSandbox(settings_in(tmp_path)), clock=system_clock, say=said.append)
    async with supervisor.running():
        state = json.loads((tmp_path / "state.json").read_text())
        assert [(p["name"], p["state"]) for p in state["processes"]] == [
            ("postgres", "ready"),
            ("broker", "ready"),
            ("sandbox", "ready"),
        ]
        assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
        assert up_is_running(Var(tmp_path))
        assert running_state(Var(tmp_path)) == state

        broker = supervisor.units[1]
        first_pid, bootstrap = broker.pid, supervisor.preparation.bootstrap
        assert first_pid is not None
        os.kill(first_pid, signal.SIGKILL)
        await until(lambda: broker.restarts == 1 and broker.state is State.READY)
        assert broker.pid not in (None, first_pid)
        assert broker.last_exit == "ended by SIGKILL"
        assert any("broker died" in line and "SIGKILL" in line for line in said)
        await until(lambda: any("topics on the new broker" in line for line in said))
        pids = [unit.pid for unit in supervisor.units]
        assert supervisor.preparation.bootstrap == bootstrap
    assert [psutil.pid_exists(pid) for pid in pids if pid] == [False, False, False]
    assert not up_is_running(Var(tmp_path))
    with pytest.raises(CliFailure, match=r"^no `vitrin up` runs on \S+$"):
        running_state(Var(tmp_path))
    final = json.loads((tmp_path / "state.json").read_text())
    assert [process["state"] for process in final["processes"]] == ["stopped", "stopped", "stopped"]


async def test_a_taken_port_is_named_with_its_setting_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        preparation = DataAndSandbox(settings_in(tmp_path, CATALOG_HTTP_PORT=str(port)))
        supervisor = Supervisor(preparation, clock=system_clock, say=lambda _: None)
        with pytest.raises(CliFailure, match=rf"{port} \(CATALOG_HTTP_PORT\)"):
            async with supervisor.running():
                pytest.fail("it must not run")
    assert not (tmp_path / "postgres").exists()
    assert not up_is_running(Var(tmp_path))


async def test_a_service_that_cannot_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    supervisor = Supervisor(DataAndSandbox(settings_in(tmp_path)), clock=system_clock, say=lambda _: None)
    sandbox_port = supervisor.settings.sandbox_http.number
    assert port_is_free(sandbox_port)
    real = supervisor.preparation.environment
    supervisor.preparation.environment = lambda: {**real(), "SANDBOX_PORT": "none"}  # type: ignore[method-assign]
    with pytest.raises(CliFailure, match=r"sandbox did not start: exit code 2\n.*\n?.*port"):
        async with supervisor.running():
            pytest.fail("it must not run")
    assert all(unit.part.process is None for unit in supervisor.units)


def test_a_second_one_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    first = VarLock(Var(tmp_path))
    first.take()
    try:
        with pytest.raises(CliFailure, match=rf"process {os.getpid()}\) already runs") as refused:
            VarLock(Var(tmp_path)).take()
        assert refused.value.code == "already_running"
    finally:
        first.release()
    second = VarLock(Var(tmp_path))
    second.take()
    second.release()


def test_who_only_asks_whether_one_runs_does_not_keep_one_from_starting(tmp_path: Path) -> None:
    var = Var(tmp_path)
    asker = os.open(var.lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(asker, fcntl.LOCK_SH)
    assert not up_is_running(var)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        fcntl.flock(asker, fcntl.LOCK_UN)

    lock = VarLock(var, pause=pause)
    lock.take()
    assert up_is_running(var)
    lock.release()
    os.close(asker)
    assert len(pauses) == 1


_UP_WITH_A_CHILD = """
import datetime, subprocess, sys, time
from pathlib import Path
from vitrin.cli.settings import Var, write_private_json
from vitrin.cli.supervisor.state import VarLock
var = Var(Path(sys.argv[1]))
lock = VarLock(var)
lock.take()
import os
now = datetime.datetime.now(datetime.UTC)
child = subprocess.Popen(["sleep", "600"])
write_private_json(var.state, {
    "supervisor": {"pid": os.getpid(), "started_at": now, "ended_at": None},
    "processes": [{"name": "child", "pid": child.pid, "started_at": now, "state": "ready"}],
})
print("up", flush=True)
time.sleep(600)
"""


def test_the_state_of_a_killed_one_is_not_taken_for_that_of_a_living_one(tmp_path: Path) -> None:
    var = Var(tmp_path)
    command = [sys.executable, "-c", _UP_WITH_A_CHILD, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "services"}
    ) as killed:
        assert killed.stdout is not None
        try:
            assert killed.stdout.readline() == b"up\n"
            supervisor = running_state(var)["supervisor"]
            assert isinstance(supervisor, dict)
            assert supervisor["pid"] == killed.pid
        finally:
            killed.kill()
    when = r"last seen \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    with pytest.raises(
        CliFailure, match=rf"process {killed.pid} was killed, {when}; without it still run: child$"
    ) as refused:
        running_state(var)
    assert (refused.value.code, int(refused.value.exit_code)) == ("not_running", 3)
    next_one = VarLock(var)
    next_one.take()
    try:
        with pytest.raises(CliFailure, match="is starting") as early:
            running_state(var)
        assert (early.value.code, int(early.value.exit_code)) == ("starting", 3)
        assert stop_left_over(var.state) == ["child"]
        reused = {"supervisor": {"pid": os.getpid(), "started_at": "2020-01-01T00:00:00+00:00"}}
        var.state.write_text(json.dumps(reused))
        with pytest.raises(CliFailure, match="is starting"):
            running_state(var)
    finally:
        next_one.release()


def test_left_over_processes_are_stopped_and_strangers_are_not(tmp_path: Path) -> None:
    def sleeper() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    ours, stranger = sleeper(), sleeper()
    try:
        entries = [
            {"name": "ours", "pid": ours.pid, "started_at": system_clock().isoformat()},
            {"name": "stranger", "pid": stranger.pid, "started_at": "2020-01-01T00:00:00+00:00"},
        ]
        (tmp_path / "state.json").write_text(json.dumps({"processes": entries}))
        assert stop_left_over(tmp_path / "state.json") == ["ours"]
        assert ours.poll() is not None
        assert stranger.poll() is None
    finally:
        for process in (ours, stranger):
            process.kill()
            process.wait()


def test_the_longest_pause_before_a_start_is_a_setting(tmp_path: Path) -> None:
    def pauses(settings: UpSettings) -> list[float]:
        preparation = DataAndSandbox(settings)
        preparation.make_units()
        unit: Unit = preparation.units[0]
        return [unit.backoff_s(datetime(2026, 1, 1, tzinfo=UTC)) for _ in range(9)]

    assert pauses(settings_in(tmp_path)) == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert pauses(settings_in(tmp_path, VITRIN_RESTART_BACKOFF_MS_MAX="600")) == [0.25, 0.5] + [0.6] * 7
    with pytest.raises(CliFailure, match="VITRIN_RESTART_BACKOFF_MS_MAX is '1s'"):
        settings_in(tmp_path, VITRIN_RESTART_BACKOFF_MS_MAX="1s")
