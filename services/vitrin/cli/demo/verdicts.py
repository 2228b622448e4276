"""Pure judgement over what the services said: which state each item has, and whether that is what it must be."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OPEN_STATES = frozenset({"pending", "sent", "unknown", "accepted"})
REFUSED_STATES = frozenset({"invalid", "rejected"})
MISMATCHES_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """State of one item on one platform, with the codes of its reasons."""

    state: str
    codes: tuple[str, ...] = ()
    content_version: int = 0
    offer_version: int = 0

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Verdict":
        reasons = document.get("reasons") or ()
        return cls(
            state=document["state"],
            codes=tuple(reason["code"] for reason in reasons),
            content_version=int(document["content_version"]),
            offer_version=int(document["offer_version"]),
        )

    def is_final(self, versions: tuple[int, int]) -> bool:
        """Closed, and what is live or removed is the version that the catalog has."""
        current = self.content_version >= versions[0] and self.offer_version >= versions[1]
        return self.state not in OPEN_STATES and (self.state not in ("live", "removed") or current)


Board = Mapping[str, Mapping[str, Verdict]]
"""Platform -> item id -> verdict."""

Versions = Mapping[str, tuple[int, int]]
"""Item id -> content version and offer version in the catalog."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """`problems` empty: everything is as it must be."""

    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.problems


def versions_of(items: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Of items as the catalog lists them."""
    return {str(item["id"]): (int(item["content_version"]), int(item["offer_version"])) for item in items}


def settled(board: Board, items: Versions) -> int:
    """How many (item, platform) pairs have a final verdict about the version that the catalog has."""
    return sum(
        1
        for verdicts in board.values()
        for item_id, versions in items.items()
        if item_id in verdicts and verdicts[item_id].is_final(versions)
    )


def judge_expected(
    expected: Mapping[str, Any],
    *,
    refused: Mapping[int, Sequence[str]],
    board: Board,
    item_ids: Sequence[str],
) -> Judgement:
    """Compare with the committed list. `refused`: row as a spreadsheet counts -> codes."""
    problems: list[str] = []
    wanted_ids = set()
    for row in expected["rows"]:
        number, outcome = int(row["row"]), row["outcome"]
        if outcome == "refused":
            if row["code"] not in refused.get(number, ()):
                got = ", ".join(refused.get(number, ())) or "not refused"
                problems.append(f"row {number}: must be refused as {row['code']}, but {got}")
            continue
        if number in refused:
            problems.append(f"row {number}: must be {outcome}, but refused as {', '.join(refused[number])}")
        if outcome == "image":
            continue
        wanted_ids.add(row["item_id"])
        for platform, verdicts in board.items():
            wish = "excluded" if outcome == "excluded" else row[platform]
            found = _difference(wish, verdicts.get(row["item_id"]))
            if found:
                problems.append(f"{row['item_id']} on {platform}: {found}")
    problems += [
        f"{item_id}: in the catalog, but not expected" for item_id in item_ids if item_id not in wanted_ids
    ]
    problems += [f"{item_id}: not in the catalog" for item_id in sorted(wanted_ids - set(item_ids))]
    return Judgement(tuple(problems))


def judge_given(
    report: Mapping[str, Any], *, refused: Mapping[int, Sequence[str]], board: Board, item_ids: Sequence[str]
) -> Judgement:
    """Somebody's own catalog: every row has an outcome, something was accepted, and every item is live on every
    platform, or kept out of it for a reason that has a name."""
    problems: list[str] = []
    if report["state"] != "done":
        problems.append(f"the import ended as {report['state']}: {report.get('problem')}")
    rows, done = int(report["rows"]["total"]), int(report["rows"]["done"])
    if done != rows:
        problems.append(f"{rows - done} of {rows} rows have no outcome")
    if not item_ids:
        problems.append("not one item was accepted")
    for platform, verdicts in board.items():
        for item_id in item_ids:
            verdict = verdicts.get(item_id)
            if verdict is None:
                problems.append(f"{item_id} on {platform}: no verdict")
            elif verdict.state != "live" and not (verdict.state not in OPEN_STATES and verdict.codes):
                problems.append(f"{item_id} on {platform}: {verdict.state} without a reason")
    problems += [f"row {number}: refused without a code" for number, codes in refused.items() if not codes]
    return Judgement(tuple(problems))


def summary_rows(board: Board) -> list[dict[str, object]]:
    """One row per platform, state and reason, with the number of items."""
    rows: list[dict[str, object]] = []
    for platform, verdicts in board.items():
        counted = Counter(
            (verdict.state, ", ".join(verdict.codes) if verdict.state != "live" else "")
            for verdict in verdicts.values()
        )
        for (state, why), items in sorted(counted.items(), key=lambda entry: -entry[1]):
            rows.append({"platform": platform, "state": state, "why": why, "items": items})
    return rows


def _difference(wish: str, verdict: Verdict | None) -> str:
    """Empty when `verdict` is what `wish` says: `live`, `excluded` or `invalid:<code>`."""
    if verdict is None:
        return f"must be {wish}, but has no verdict"
    state, _, code = wish.partition(":")
    got = f"{verdict.state} ({', '.join(verdict.codes)})" if verdict.codes else verdict.state
    if state == "invalid":
        fits = verdict.state in REFUSED_STATES and (not code or code in verdict.codes)
    else:
        fits = verdict.state == state
    return "" if fits else f"must be {wish}, but is {got}"
