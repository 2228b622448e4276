"""What a test measured, printed at the end of the session also when the test passed."""

from collections.abc import Callable
from typing import Final

import pytest

Say = Callable[[str], None]
_SAID: Final = pytest.StashKey[list[str]]()


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Say:
    """Call it with one line; the name of the test stands before it."""
    said = request.config.stash.setdefault(_SAID, [])
    return lambda line: said.append(f"{request.node.name}: {line}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(_SAID, []):
        terminalreporter.write_line(line)
