"""What each process is and gets, and the two steps before the services start: schema and topics."""

import asyncio
import os
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import vitrin.kit
from vitrin.cli.failures import CliFailure
from vitrin.cli.settings import read_json, write_private_json
from vitrin.cli.supervisor.parts import SERVICES, CommandPart, EmbeddedPart, Part, urls_of
from vitrin.cli.supervisor.secrets import load_secrets
from vitrin.cli.supervisor.settings import UpSettings, for_service, service_environment
from vitrin.cli.supervisor.unit import Unit
from vitrin.kit.embedded.broker import BrokerPlace, EmbeddedBroker
from vitrin.kit.embedded.errors import EmbeddedFailure
from vitrin.kit.embedded.postgres import EmbeddedPostgres, PostgresPlace
from vitrin.kit.embedded.process import log_tail

STEP_DEADLINE_S = 120.0
HINT_DATABASE = "vitrin_hint"


class Preparation:
    """Knows the addresses of the data parts, once they run, and hands them to every child."""

    def __init__(self, settings: UpSettings) -> None:
        self.settings = settings
        self.urls = urls_of(settings)
        self.units: list[Unit] = []
        self._secrets = load_secrets(settings.var)
        self._postgres: EmbeddedPostgres | None = None
        self._broker: EmbeddedBroker | None = None

    def make_units(self) -> None:
        """In the order of their start. Raises CliFailure when the optional wheels are missing."""
        try:
            parts = [*self._data_parts(), *self.service_parts()]
            self.units = [
                Unit(
                    part,
                    backoff_max_s=self.settings.restart_backoff_ms_max / 1000,
                    no_progress_s=self.settings.start_no_progress_s,
                )
                for part in parts
            ]
        except EmbeddedFailure as failure:
            raise CliFailure(str(failure), code="extra_missing") from failure

    @property
    def database_url(self) -> str:
        if self.settings.database_url is not None:
            return self.settings.database_url
        return "" if self._postgres is None else self._postgres.url

    @property
    def public_database_url(self) -> str | None:
        """The embedded one's, which has no password; somebody's own is not written down."""
        return None if self._postgres is None else self._postgres.url

    @property
    def hint_url(self) -> str | None:
        if self.settings.hint_database_url is not None or self._postgres is None:
            return self.settings.hint_database_url
        return self._postgres.url.replace("/postgres?", f"/{HINT_DATABASE}?", 1)

    @property
    def bootstrap(self) -> str:
        if self.settings.kafka_bootstrap is not None:
            return self.settings.kafka_bootstrap
        return "" if self._broker is None else self._broker.bootstrap

    @property
    def has_own_broker(self) -> bool:
        """The embedded one runs: it forgets everything when it stops."""
        return self._broker is not None

    @property
    def operator_token(self) -> str:
        return self._secrets.operator_token

    def environment(self) -> dict[str, str]:
        return service_environment(
            self.settings,
            secrets=self._secrets,
            database_url=self.database_url,
            hint_url=self.hint_url,
            bootstrap=self.bootstrap,
        )

    async def prepare(self) -> None:
        """Schema of every service and the topics, side by side. A schema that is up to date is left alone."""
        stamp = None if self._postgres is None else schema_stamp(self._postgres.data_dir)
        known = read_json(self.settings.var.schema)
        if stamp is not None and known == stamp:
            await self.create_topics()
            return
        await asyncio.gather(self._step("migrate"), self.create_topics())
        if stamp is not None:
            write_private_json(self.settings.var.schema, stamp)

    async def create_topics(self) -> None:
        await self._step("topics")

    async def _step(self, command: str) -> None:
        """`vitrin <command>` as a process of its own, so that what it loads is gone afterwards."""
        log_path = self._log(command)
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "vitrin.cli", command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                start_new_session=True,
            )
        try:
            code = await asyncio.wait_for(process.wait(), STEP_DEADLINE_S)
        except TimeoutError:
            code = None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code != 0:
            said = "\n    ".join(log_tail(log_path))
            outcome = f"not done after {STEP_DEADLINE_S:.0f} s" if code is None else f"exit code {code}"
            raise CliFailure(
                f"`vitrin {command}` failed ({outcome})\n    {said}",
                fix=f"the whole log is {log_path}",
                code=f"{command}_failed",
            )

    def _log(self, name: str) -> Path:
        return self.settings.var.logs / f"{name}.log"

    def _data_parts(self) -> list[Part]:
        parts: list[Part] = []
        if self.settings.database_url is None:
            directory = self.settings.var.root / "postgres"
            place = PostgresPlace(data_dir=directory, log_path=self._log("postgres"), fsync=_fsync())
            self._postgres = EmbeddedPostgres(place)
            parts.append(EmbeddedPart("postgres", place.log_path, self._postgres))
        if self.settings.kafka_bootstrap is None:
            broker = BrokerPlace(log_path=self._log("broker"), port=self.settings.broker_port)
            self._broker = EmbeddedBroker(broker)
            parts.append(EmbeddedPart("broker", broker.log_path, self._broker))
        return parts

    def service_parts(self) -> list[Part]:
        sandbox = CommandPart(
            "sandbox",
            self._log("sandbox"),
            ("-m", "vitrin.cli", "sandbox", "serve"),
            self._environment_of("sandbox"),
            self._ready("sandbox"),
        )
        services = [
            CommandPart(
                name,
                self._log(name),
                ("-m", "vitrin.cli.serving", name, "all"),
                self._environment_of(name),
                self._ready(name),
            )
            for name in SERVICES
        ]
        return [sandbox, *services]

    def _ready(self, name: str) -> str:
        return self.urls[name]["ready"]

    def _environment_of(self, name: str) -> Callable[[], dict[str, str]]:
        return lambda: for_service(self.environment(), name=name, secrets=self._secrets)


def schema_stamp(data_dir: Path) -> dict[str, object]:
    """Changes with any migration and with the data directory: the same stamp needs no `vitrin migrate`."""
    digest = sha256()
    kit = Path(vitrin.kit.__file__).parent
    files = [*kit.glob("db/*.py"), *kit.glob("*/install.py"), *kit.parent.glob("*/migrations/**/*.py")]
    for file in sorted(files):
        digest.update(str(file).encode() + b"\0" + file.read_bytes())
    made = (data_dir / "PG_VERSION").stat()
    return {"migrations": digest.hexdigest(), "data": f"{made.st_ino}-{made.st_mtime_ns}"}


def _fsync() -> bool:
    """Off only for tests that start a whole system (VITRIN_POSTGRES_FSYNC=off)."""
    return os.environ.get("VITRIN_POSTGRES_FSYNC", "on") != "off"
