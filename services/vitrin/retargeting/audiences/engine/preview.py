"""How many a rule would have, and some of them, before it is saved.

The service makes a successor of the running engine with `preview_rules` only, loads the log chunk by chunk (yielding in
between), settles it, and asks `sized`. It is the same computation as a backfill, so size and backfill agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vitrin.retargeting.audiences.engine.engine import Engine
from vitrin.retargeting.audiences.language import Rule


@dataclass(frozen=True, slots=True)
class Preview:
    size: int
    of: int
    """All known subjects."""
    sample: tuple[int, ...]


def preview_rules(rules: Mapping[str, Rule], audience: str) -> dict[str, Rule]:
    """The audience and those it refers to, directly or not. Unknown ones are left for the plan to refuse."""
    found: dict[str, Rule] = {}
    todo = [audience]
    while todo:
        name = todo.pop()
        if name in rules and name not in found:
            found[name] = rules[name]
            todo.extend(rules[name].references())
    return found


def sized(engine: Engine, audience: str, samples: int = 10) -> Preview:
    """The sample is spread over all members, and the same for the same members."""
    members = engine.members(audience)
    spread = np.argsort(members.astype(np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15), kind="stable")
    sample = tuple(sorted(members[spread[:samples]].tolist()))
    return Preview(len(members), int(engine.subjects.known.sum()), sample)
