"""The whole system, once per session, and two brands that must never see each other."""

from collections.abc import Iterator

import pytest

from tests.e2e.system import Brand, System


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Stopped at the end by Ctrl-C; whatever outlives that fails the session."""
    running = System(tmp_path_factory.mktemp("system"))
    try:
        running.start()
        yield running
    finally:
        code, left = running.stop()
    assert (code, left) == (0, []), running.log()


@pytest.fixture(scope="session")
def brand_a(system: System) -> Brand:
    return system.new_brand()


@pytest.fixture(scope="session")
def brand_b(system: System) -> Brand:
    return system.new_brand()
