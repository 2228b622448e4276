"""Keeps the members of all audiences of one brand exact, as events come and as time passes (ADR 30).

`Engine` takes columns of accepted events (`columns.Batch`) and a plan (`plan.compile_plan`), and answers with
changes of membership. It keeps per subject (a person: what visitors are merged to) only the events that an anchor
can still need.
"""

from vitrin.retargeting.audiences.engine.changes import Changes
from vitrin.retargeting.audiences.engine.columns import Batch, Dictionary
from vitrin.retargeting.audiences.engine.engine import Engine
from vitrin.retargeting.audiences.engine.plan import Plan, compile_plan

__all__ = ["Batch", "Changes", "Dictionary", "Engine", "Plan", "compile_plan"]
