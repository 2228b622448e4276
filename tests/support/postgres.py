"""The real PostgreSQL, started once per test session in a directory of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from vitrin.kit.embedded.postgres import EmbeddedPostgres, PostgresPlace


@pytest.fixture(scope="session")
def embedded_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """`.url` is the superuser's: `postgresql://postgres@/postgres?host=DIR`."""
    directory: Path = tmp_path_factory.mktemp("postgres")
    server = EmbeddedPostgres(
        PostgresPlace(data_dir=directory / "data", log_path=directory / "postgres.log", fsync=False)
    )
    server.start()
    yield server
    server.stop()
