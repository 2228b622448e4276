"""Running a service in this process: signals, event loop, and failures as exit codes."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from vitrin.cli.failures import CliFailure, Exit

T = TypeVar("T")


def run_until_stopped(body: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `body` on uvloop; SIGTERM, SIGINT and SIGHUP set its stop event, a second one ends it at once."""
    import uvloop

    async def main() -> None:
        stop = asyncio.Event()
        task = asyncio.ensure_future(body(stop))

        def on_signal() -> None:
            if stop.is_set():
                task.cancel()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, on_signal)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def settings_group(group: Callable[[], T]) -> T:
    """A group of settings from the environment; what is wrong with it ends the command."""
    from vitrin.kit.settings import SettingsInvalid, load

    try:
        return load(group)
    except SettingsInvalid as wrong:
        raise CliFailure(str(wrong), code="settings_invalid", exit_code=Exit.USAGE) from wrong


@contextlib.contextmanager
def database_errors() -> Iterator[None]:
    """A database that does not answer, or refuses, as a failure of the command."""
    from psycopg import Error, OperationalError

    try:
        yield
    except OperationalError as silence:
        raise CliFailure(
            f"cannot use the database: {silence}",
            fix="set VITRIN_DATABASE_URL to a server that runs",
            code="unreachable",
            exit_code=Exit.UNREACHABLE,
        ) from silence
    except Error as refused:
        raise CliFailure(f"the database refused: {refused}", code="database_refused") from refused
