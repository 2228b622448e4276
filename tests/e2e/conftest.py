"""The whole system, once for this folder, and two brands that must never see each other."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.system import Brand, System


@pytest.fixture(scope="package")
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    """Stopped by Ctrl-C after the last test of the folder, since an idle house costs processor time too; whatever
    outlives that fails its last test. Its logs stay where a test failed.

    Not below pytest's own directory: another pytest that starts meanwhile closes that one to everybody but its owner,
    and as root PostgreSQL runs as somebody else.
    """
    directory = Path(tempfile.mkdtemp(prefix="vitrin-e2e-"))
    running = System(directory)
    try:
        running.start()
        yield running
    finally:
        code, left = running.stop()
    said = running.log()
    if request.session.testsfailed:
        print(f"the logs of the system are in {directory}")
    else:
        shutil.rmtree(directory)
    assert (code, left) == (0, []), said


@pytest.fixture(scope="package")
def brand_a(system: System) -> Brand:
    return system.new_brand()


@pytest.fixture(scope="package")
def brand_b(system: System) -> Brand:
    return system.new_brand()
