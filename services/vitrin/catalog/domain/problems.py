"""What is wrong with a field, in the same shape for a request, a batch entry and a row of a file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """`code` is stable snake_case; `message` says what was wrong, `fix` what to do."""

    field: str
    code: str
    message: str
    fix: str = ""


SHOWN_CHARS_MAX = 60


def shown(value: object) -> str:
    """A value as a message may show it: quoted and short."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS_MAX else text[:SHOWN_CHARS_MAX] + "…"
