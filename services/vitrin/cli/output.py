"""What a command shows: tables and sentences for people, one JSON document on stdout for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vitrin.cli.failures import CliFailure, ProblemAnswer

if TYPE_CHECKING:
    from rich.console import Console

Row = Mapping[str, object]

PIPE_COLUMNS = 400


class Output:
    """People read stdout; with `as_json` stdout holds JSON alone, and everything else goes to stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._console: Console | None = None

    @property
    def console(self) -> "Console":
        """Rich's console: stdout for people, stderr when stdout is for programs."""
        if self._console is None:
            from rich.console import Console

            console = Console(stderr=self.as_json, highlight=False, soft_wrap=True)
            if not console.is_terminal:
                console.width = PIPE_COLUMNS  # what is copied or searched must not be cut into lines
            self._console = console
        return self._console

    def json(self, document: object) -> None:
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """One line of progress or explanation; may use Rich's markup."""
        self.console.print(text)

    def table(self, rows: Sequence[Row], *, columns: Mapping[str, str], title: str = "") -> None:
        """`columns` maps a key of the rows to its heading. Nothing is printed for programs."""
        if self.as_json:
            return
        from rich.table import Table
        from rich.text import Text

        if not rows:
            self.note(f"[dim]{title + ': ' if title else ''}nothing there[/dim]")
            return
        table = Table(
            title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False
        )
        for heading in columns.values():
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(Text(shown(row.get(key))) for key in columns))
        self.console.print(table)

    def record(self, row: Row, *, keys: Sequence[str] = (), title: str = "") -> None:
        """One thing, a line per property."""
        chosen = keys or tuple(row)
        lines = [{"name": key.replace("_", " "), "value": row.get(key)} for key in chosen]
        self.table(lines, columns={"name": "", "value": title})

    def failure(self, failure: CliFailure) -> None:
        """On stderr, always: as JSON for programs, with code, field and fix for people."""
        if self.as_json:
            sys.stderr.write(json.dumps(failure.as_json(), ensure_ascii=False, default=str) + "\n")
            return
        from rich.console import Console
        from rich.text import Text

        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(Text.assemble((f"{failure.code}: ", "bold red"), failure.message))
        if isinstance(failure, ProblemAnswer):
            for line in _problem_lines(failure.problem):
                console.print(Text(f"  {line}"))
        if failure.fix:
            console.print(Text(f"  to do: {failure.fix}"))


def shown(value: object) -> str:
    """A value in a table cell."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    return str(value)


def _problem_lines(problem: Mapping[str, object]) -> list[str]:
    lines = []
    if problem.get("field"):
        lines.append(f"field: {problem['field']}")
    errors = problem.get("errors")
    if isinstance(errors, list):
        for error in errors[:20]:
            if isinstance(error, Mapping):
                fix = f" ({error['fix']})" if error.get("fix") else ""
                lines.append(f"{error.get('field')}: {error.get('code')}: {error.get('message')}{fix}")
        if len(errors) > 20:
            lines.append(f"and {len(errors) - 20} more")
    if problem.get("request_id"):
        lines.append(f"request id: {problem['request_id']}")
    return lines
