"""Reading JSON values with their path: each reader notes a problem and answers None where it cannot."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vitrin.retargeting.audiences.language import words
from vitrin.retargeting.audiences.language.refusals import Problem

_DURATION: Final = re.compile(r"(?a:([0-9]{1,9})([smhdw]))\Z")
_CURRENCY: Final = re.compile(r"[A-Z]{3}\Z")
Object = Mapping[str, Any]


class Reader:
    """Collects problems; a rule with any is refused."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def problem(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))

    def known_keys(self, value: Object, allowed: Sequence[str], path: str) -> None:
        for key in value:
            if key not in allowed:
                self.problem(f"{path}.{key}", f"unknown; here can be {', '.join(allowed)}")

    def object(self, value: Any, path: str, example: str) -> Object | None:
        if isinstance(value, Mapping):
            return value
        self.problem(path, f"must be an object, for example {example}")
        return None

    def integer(self, value: Any, path: str, least: int, most: int) -> int | None:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.problem(path, f"must be a whole number from {least} to {most}")
        return None

    def choice(self, value: Any, path: str, choices: Sequence[str]) -> str | None:
        if isinstance(value, str) and value in choices:
            return value
        self.problem(path, f"must be one of {', '.join(choices)}")
        return None

    def currency(self, value: Any, path: str) -> str | None:
        if isinstance(value, str) and _CURRENCY.match(value):
            return value
        self.problem(
            path, "must be a currency of ISO 4217 in capitals, for example EUR; sums never mix currencies"
        )
        return None

    def texts(self, value: Any, path: str, choices: Sequence[str] = ()) -> tuple[str, ...] | None:
        """A text or a list of texts, none of them empty."""
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not values:
            self.problem(path, "must be a text or a list with at least one")
            return None
        if len(values) > words.VALUES_MAX:
            self.problem(
                path, f"has {len(values)} values, the limit is {words.VALUES_MAX}; use a category or brand"
            )
            return None
        for number, text in enumerate(values):
            if not isinstance(text, str) or not 0 < len(text) <= words.VALUE_CHARS_MAX:
                self.problem(
                    f"{path}[{number}]", f"must be a text of 1 to {words.VALUE_CHARS_MAX} characters"
                )
                return None
            if choices and text not in choices:
                self.problem(f"{path}[{number}]", f"{text!r} is none of {', '.join(choices)}")
                return None
        return tuple(values)

    def duration(self, value: Any, path: str) -> int | None:
        """`30d` to milliseconds: whole seconds, minutes, hours, days or weeks, 365 d at most."""
        found = _DURATION.match(value) if isinstance(value, str) else None
        if found is None:
            self.problem(path, "must be a duration such as 90s, 30m, 12h, 14d or 2w")
            return None
        length_ms = int(found[1]) * words.UNITS_MS[found[2]]
        if not 0 < length_ms <= words.WINDOW_MS_MAX:
            self.problem(
                path, "must be longer than nothing and 365d at most, since older events are not kept"
            )
            return None
        return length_ms
