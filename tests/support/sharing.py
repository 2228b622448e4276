"""How the processes of `make test` (pytest-xdist, `-n 2`) share the tests.

A unit is a file, so that its module's fixtures are made once; the folders of `WHOLE` are one unit each, since what
their tests share is dear. The dearest units come first: what is left at the end is small, and no process waits long
for the other one. The order is a matter of time only: each test stands alone.
"""

from pathlib import PurePosixPath
from typing import Any

import pytest

WHOLE = ("tests/e2e",)
"""One `vitrin up` serves all of its tests."""

DEAREST = (
    "tests/e2e",
    "tests/conformance",
    "tests/simulation",
    "tests/cli",
    "tests/catalog/shop",
    "tests/kit",
)


def unit_of(nodeid: str) -> str:
    """The folder or file that goes to one process as a whole."""
    file = nodeid.split("::", 1)[0]
    return next((folder for folder in WHOLE if PurePosixPath(file).is_relative_to(folder)), file)


def rank_of(nodeid: str) -> int:
    file = PurePosixPath(nodeid.split("::", 1)[0])
    return next((rank for rank, folder in enumerate(DEAREST) if file.is_relative_to(folder)), len(DEAREST))


def is_shared(config: pytest.Config) -> bool:
    """Whether several processes run the tests."""
    return hasattr(config, "workerinput")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if is_shared(config):
        items.sort(key=lambda item: rank_of(item.nodeid))  # stable: within a rank as collected


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415  (only where several processes run)

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False  # it would put the units with most tests first
    return Units(config, log)
