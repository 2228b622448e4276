"""The embedded PostgreSQL keeps data over restarts, and two servers never share a directory."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import psycopg
import pytest

from vitrin.kit.embedded.errors import DataDirUnusable
from vitrin.kit.embedded.postgres import EmbeddedPostgres, PostgresPlace, stop_left_over


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Not in pytest's own folder, which a second session of the same user closes to everybody else: as root, PostgreSQL
    runs as another user."""
    directory = Path(mkdtemp(prefix="vitrin-postgres-"))
    yield directory
    rmtree(directory)


def server_in(directory: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(
        PostgresPlace(data_dir=directory / "data", log_path=directory / "log", fsync=False)
    )


def value(server: EmbeddedPostgres, sql: str) -> object:
    with psycopg.connect(server.url, autocommit=True) as connection:
        row = connection.execute(sql).fetchone()
        assert row is not None
        return row[0]


def test_settings_are_the_promised_ones(embedded_postgres: EmbeddedPostgres) -> None:
    assert value(embedded_postgres, "show server_version_num").__str__().startswith("18")
    assert value(embedded_postgres, "show max_connections") == "100"
    assert value(embedded_postgres, "show listen_addresses") == ""
    assert value(embedded_postgres, "show server_encoding") == "UTF8"
    assert value(embedded_postgres, "select datlocale from pg_database where datname='postgres'") == "C.UTF-8"
    assert value(embedded_postgres, "show timezone") == "UTC"


def test_a_killed_postmaster_loses_nothing_and_a_left_over_one_is_stopped(tmp_path: Path) -> None:
    first = server_in(tmp_path)
    first.start()
    with psycopg.connect(first.url, autocommit=True) as connection:
        connection.execute("create table kept as select 7 as number")
    assert first.process is not None
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()

    second = server_in(tmp_path)
    second.start()
    assert value(second, "select number from kept") == 7
    orphan = second.process  # its owner is killed: the server runs on

    third = server_in(tmp_path)
    third.start()
    try:
        assert orphan is not None
        assert orphan.wait(timeout=10) == 0
        assert value(third, "select number from kept") == 7
    finally:
        third.stop()
    assert stop_left_over(tmp_path / "data") is False


def test_a_long_path_gets_a_short_socket_closed_to_others(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    server = server_in(deep)
    server.start()
    try:
        assert value(server, "select 1") == 1
        assert server.socket_dir != deep / "data"
        assert server.socket_dir.stat().st_mode & 0o077 == 0
    finally:
        server.stop()
        server.socket_dir.rmdir()


def test_a_directory_of_something_else_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "photo.jpg").write_bytes(b"x")
    with pytest.raises(DataDirUnusable, match="not empty"):
        server_in(tmp_path).start()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["photo.jpg"]


def test_data_of_another_major_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(DataDirUnusable, match="made by PostgreSQL 16"):
        server_in(tmp_path).start()
