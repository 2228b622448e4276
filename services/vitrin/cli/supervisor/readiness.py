"""What `/readyz` of a part says while it starts, and how long that is worth waiting for. Pure.

A service with a long backlog is not ready for minutes, and works all the time. It says how many records it has read;
while that number grows it is waited for, however long it takes. Only who moves nothing for a while is stuck. Where it
knows how many are left, those must become fewer: what is read of live traffic brings nobody nearer to the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SAY_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Look:
    """One answer. `read` records by check (of those that catch up), `left` where it is known; `waits`: what is not
    ready in its own words, empty when the part did not answer."""

    ready: bool = False
    read: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)
    waits: str = ""

    @classmethod
    def of(cls, status: int, document: object) -> "Look":
        """Of the answer to `GET /readyz`; a part that says nothing of its progress is ready or not."""
        if status == 200:
            return cls(ready=True)
        answer: Mapping[str, Any] = document if isinstance(document, dict) else {}
        checks, progress = answer.get("checks") or {}, answer.get("progress") or {}
        return cls(
            read={name: far["read"] for name, far in progress.items()},
            left={name: far["left"] for name, far in progress.items() if far["left"] is not None},
            waits="; ".join(str(said) for said in checks.values() if said != "ok") or f"HTTP {status}",
        )


@dataclass(slots=True)
class Patience:
    """Waits for one start. `no_progress_s`: so long without anything moving, and it is over."""

    began_s: float
    no_progress_s: float
    moved_s: float = field(init=False)
    last: Look = field(default_factory=Look)
    _most: dict[str, int] = field(default_factory=dict)
    _left: Mapping[str, int] = field(default_factory=dict)
    _said: tuple[float, int] = field(init=False)

    def __post_init__(self) -> None:
        self.moved_s = self.began_s
        self._said = (self.began_s, 0)

    def hear(self, look: Look, now_s: float) -> str:
        """Returns a line about the progress when it is time for one, else nothing. A part that did not answer in time
        (it is busy) has made no progress, and is still where it was."""
        if not look.waits:
            return ""
        self.last = look
        for name, read in look.read.items():
            left, before = look.left.get(name), self._left.get(name)
            grew = read > self._most.setdefault(name, 0)
            if grew:
                self._most[name] = read
            if grew if left is None or before is None else left < before:
                self.moved_s = now_s
        self._left = look.left
        return self._line(now_s)

    def is_over(self, now_s: float) -> bool:
        return now_s - self.moved_s >= self.no_progress_s

    def reason(self) -> str:
        """Of a start that was given up."""
        waits = self.last.waits or "it did not answer"
        total = sum(self._most.values())
        moved = f" after {total:,} records" if total else ""
        return f"not ready, and nothing moved for {self.no_progress_s:g} s{moved}: {waits}"

    def _line(self, now_s: float) -> str:
        at_s, before = self._said
        total = sum(self._most.values())
        if now_s - at_s < SAY_EVERY_S or total == before:
            return ""
        self._said = (now_s, total)
        rate = (total - before) / (now_s - at_s)
        behind = sum(self.last.left.values())
        unknown = self.last.read.keys() - self.last.left.keys()
        left = f", {behind:,} left" if behind else ""
        if unknown:
            left += f", of {', '.join(sorted(unknown))} unknown how many"
        return f"catches up: {total:,} records read, {rate:,.0f}/s{left}"
