"""What a message says: the same words for an e-mail and for Slack."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

MARKS: Final = {"info": "", "warning": "", "critical": "[critical] "}
TITLE_MAX: Final = 150


@dataclass(frozen=True, slots=True)
class Letter:
    """`title`: one line."""

    title: str
    text: str


def of_notices(rows: Sequence[Any], *, brand: str) -> Letter:
    """`rows`: deliveries with their notices, the most severe first. One has its own title, several a number."""
    if len(rows) == 1:
        row = rows[0]
        over = "Over: " if row.what == "resolved" else MARKS[row.severity]
        return Letter(_line(over + row.title), f"{_paragraph(row)}\n\n{_foot(brand)}")
    opened = sum(row.what == "opened" for row in rows)
    over = len(rows) - opened
    parts = [f"{opened} need you"] * bool(opened) + [f"{over} are over"] * bool(over)
    critical = any(row.severity == "critical" and row.what == "opened" for row in rows)
    title = f"{'[critical] ' if critical else ''}{len(rows)} notifications: {', '.join(parts)}"
    body = "\n\n".join(f"* {_paragraph(row)}" for row in rows)
    return Letter(_line(title), f"{body}\n\n{_foot(brand)}")


def of_code(code: str) -> Letter:
    """Nothing that a person chose stands in it: it goes to an address that nobody has confirmed."""
    text = (
        f"{code} is the code that confirms this address for notifications of Vitrin.\n\n"
        "If you did not ask for it, do nothing: without the code nothing else is sent to you.\n"
        "It is good for 24 hours."
    )
    return Letter("Confirm this address for Vitrin's notifications", text)


def of_test(name: str, *, brand: str) -> Letter:
    text = f"This is a test of the channel {name!r}. Notifications arrive here.\n\n{_foot(brand)}"
    return Letter("Test of Vitrin's notifications", text)


def _paragraph(row: Any) -> str:
    if row.what == "resolved":
        return f"Over since {_time(row.resolved_at)}: {row.title}"
    lines = [f"{row.title}", row.detail, f"What to do: {row.fix}" if row.fix else ""]
    if row.look_at:
        lines.append(f"Look at: GET {row.look_at}")
    again = f", seen {row.occurrences} times" if row.occurrences > 1 else ""
    over = f" It is over since {_time(row.resolved_at)}." if row.resolved_at else ""
    lines.append(f"{row.severity}, {row.kind}, since {_time(row.opened_at)}{again}.{over}")
    return "\n".join(line for line in lines if line)


def _foot(brand: str) -> str:
    return (
        f"Vitrin, brand {brand}. The inbox: GET /v1/notifications or `vitrin notifications list`;"
        " what comes here: `vitrin notification-channels list`."
    )


def _line(title: str) -> str:
    return " ".join(title.split())[:TITLE_MAX]


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
