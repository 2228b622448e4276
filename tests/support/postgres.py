"""The real PostgreSQL, started once per test session in a directory of its own: the embedded 18, or by `--postgres=15`
the system's."""

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest

from tests.support.system_postgres import BINARIES, PostgresMissing, SystemPostgres
from vitrin.kit.embedded.postgres import EmbeddedPostgres, PostgresPlace


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        choices=["18", "15"],
        default="18",
        help="18: the embedded one. 15: the system's, for tests/conformance",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--postgres") == "15" and not BINARIES.exists():
        terminalreporter.write_line("NOT TESTED ON POSTGRESQL 15: it is not installed", red=True, bold=True)


@pytest.fixture(scope="session")
def embedded_postgres() -> Iterator[EmbeddedPostgres]:
    """`.url` is the superuser's: `postgresql://postgres@/postgres?host=DIR`. Not in pytest's own folder, which a second
    session of the same user closes to everybody else: as root, PostgreSQL runs as another user."""
    directory = Path(mkdtemp(prefix="vitrin-postgres-"))
    server = EmbeddedPostgres(
        PostgresPlace(data_dir=directory / "data", log_path=directory / "postgres.log", fsync=False)
    )
    server.start()
    yield server
    server.stop()
    rmtree(directory)


@pytest.fixture(scope="session")
def system_postgres() -> Iterator[SystemPostgres]:
    directory = Path(mkdtemp(prefix="vitrin-postgres15-"))
    try:
        server = SystemPostgres(directory)
    except PostgresMissing as missing:
        rmtree(directory)
        pytest.skip(str(missing))
    server.start()
    yield server
    server.stop()
    rmtree(directory)


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """The superuser's URL of the chosen one."""
    chosen = "system_postgres" if request.config.getoption("--postgres") == "15" else "embedded_postgres"
    server: EmbeddedPostgres | SystemPostgres = request.getfixturevalue(chosen)
    return server.url
