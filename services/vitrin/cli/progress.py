"""Progress of long work: a bar with a rate and the time left; on a pipe, a line every few seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vitrin.cli.output import Output

LINE_EVERY_S = 2.0
RATE_AFTER_S = 0.5
"""Before that, one number divided by next to nothing says nothing."""


@contextmanager
def bar(output: Output, *, title: str) -> Iterator[Callable[[str, int, int], None]]:
    """Yields `report(phase, done, total)`; a total of 0 means that it is not known yet."""
    if not output.console.is_terminal:
        yield _lines(output, title)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=output.console, transient=True) as progress:
        tasks = {}

        def report(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(f"{title} {phase}", total=None, rate="")
            speed = progress.tasks[tasks[phase]].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            progress.update(tasks[phase], completed=done, total=total or None, rate=rate)

        yield report


def _lines(output: Output, title: str) -> Callable[[str, int, int], None]:
    began = time.monotonic()
    last: dict[str, tuple[float, int]] = {}

    def report(phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        at, shown = last.get(phase, (began, -1))
        finished = total > 0 and done >= total
        if done == shown or (not finished and now - at < LINE_EVERY_S):
            return
        last[phase] = (now, done)
        rate = f", {done / (now - began):,.0f}/s" if now - began >= RATE_AFTER_S else ""
        output.note(f"{title} {phase}: {done:,} of {total:,}{rate}")

    return report
