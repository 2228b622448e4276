"""The real PostgreSQL, started once per test session in a directory of its own."""

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest

from vitrin.kit.embedded.postgres import EmbeddedPostgres, PostgresPlace


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
