"""The active faults, and what they make of a request."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any

from vitrin.sandbox.effects import (
    FOREVER_MS,
    NO_EFFECTS,
    BatchRule,
    DriftRule,
    Effects,
    ItemRefusal,
    Silence,
    in_share,
)
from vitrin.sandbox.fault_kinds import FaultKind, Stage
from vitrin.sandbox.faults import FaultSpec

CULPRITS_SHOWN_MAX = 1_000
REFUSED_ITEM_CODE = 9990
REFUSED_ITEM_MESSAGE = "The item was refused on command of the sandbox"


class Subject:
    """What a fault may look at. Accounts and items are only read when a fault asks for them."""

    def __init__(
        self,
        *,
        platform: str,
        method: str,
        path: str,
        endpoint: str,
        now_ms: int,
        accounts: Callable[[], frozenset[str]] = frozenset,
        items: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.platform, self.method, self.path, self.endpoint = platform, method, path, endpoint
        self.now_ms = now_ms
        self._accounts, self._items = accounts, items

    @cached_property
    def account_names(self) -> frozenset[str]:
        """Everything by which the call's account can be named; empty for a token that nobody has."""
        return self._accounts()

    @cached_property
    def item_ids(self) -> Sequence[str]:
        """The items that the request names."""
        return self._items()


class ActiveFault:
    """A fault that waits for requests."""

    def __init__(self, *, fault_id: str, spec: FaultSpec, added_ms: int) -> None:
        self.fault_id = fault_id
        self.spec = spec
        self.hits = 0
        self._matched = 0
        self._added_ms = added_ms
        self._chance = Random(spec.seed)  # noqa: S311 - repeatable by design
        self._jitter = Random(spec.seed)  # noqa: S311 - repeatable by design
        self._path = re.compile(spec.path) if spec.path else None
        self._culprits: dict[str, None] = {}

    def spent(self, *, now_ms: int) -> bool:
        """Whether it has hit as often as it may, or its time is over."""
        spec = self.spec
        over = spec.duration_ms is not None and now_ms >= self._added_ms + spec.after_ms + spec.duration_ms
        return over or (spec.count is not None and self.hits >= spec.count)

    def picks(self, item_id: str) -> bool:
        """Whether the item is one of the culprits."""
        spec = self.spec
        if spec.item_ids is not None:
            chosen = item_id in spec.item_ids
        else:
            chosen = spec.item_share is None or in_share(item_id, share=spec.item_share, seed=spec.seed)
        return chosen

    def takes(self, subject: Subject) -> list[str] | None:
        """None when the request goes well; else the culprits that it names. Counts the hit."""
        if self.spent(now_ms=subject.now_ms) or not self._selects(subject):
            return None
        named: list[str] = []
        if self.spec.item_ids is not None or self.spec.item_share is not None:
            named = [one for one in subject.item_ids if self.picks(one)]
            if not named:
                return None
        self._matched += 1
        if self._matched <= self.spec.skip:
            return None
        if self.spec.probability < 1 and self._chance.random() >= self.spec.probability:
            return None
        self.hits += 1
        for one in named[: CULPRITS_SHOWN_MAX - len(self._culprits)]:
            self._culprits[one] = None
        return named

    def delay_ms(self) -> int:
        """How long this hit waits before anything else."""
        spec = self.spec
        return spec.delay_ms + (self._jitter.randint(0, spec.jitter_ms) if spec.jitter_ms else 0)

    def as_json(self, *, now_ms: int) -> dict[str, Any]:
        """The shape of ``GET /_sandbox/faults``; ``culprits`` are the items that it has met, the first thousand."""
        return {
            "id": self.fault_id,
            "hits": self.hits,
            "spent": self.spent(now_ms=now_ms),
            "culprits": list(self._culprits),
            **self.spec.shown(),
        }

    def _selects(self, subject: Subject) -> bool:
        spec = self.spec
        if spec.platform not in (None, subject.platform) or spec.endpoint not in (None, subject.endpoint):
            return False
        if spec.doc.endpoints is not None and subject.endpoint not in spec.doc.endpoints:
            return False
        if spec.method is not None and spec.method.upper() != subject.method:
            return False
        if self._path is not None and not self._path.search(subject.path):
            return False
        if subject.now_ms < self._added_ms + spec.after_ms:
            return False
        return spec.account is None or spec.account in subject.account_names


@dataclass(frozen=True, slots=True)
class Hit:
    """A fault that a request meets, with the culprits that the request names."""

    fault: ActiveFault
    item_ids: list[str]

    @property
    def spec(self) -> FaultSpec:
        """What the fault does."""
        return self.fault.spec

    def as_json(self, *, item_ids_max: int) -> dict[str, Any]:
        """How the request log tells it; ``item_ids`` are the culprits, ``item_count`` is all of them."""
        return {
            "id": self.fault.fault_id,
            "kind": self.spec.kind,
            "item_count": len(self.item_ids),
            "item_ids": self.item_ids[:item_ids_max],
        }


@dataclass(slots=True)
class Plan:
    """Everything that goes wrong with one request: at most one answer instead, at most one fault of the answer."""

    hits: list[Hit] = field(default_factory=list)
    delay_ms: int = 0
    instead: Hit | None = None
    answer: Hit | None = None
    effects: Effects = NO_EFFECTS


class FaultBook:
    """The faults in the order in which they were added.

    All that match act on a request: delays add up and effects on the work join; of those that answer instead of
    the platform the first acts alone, and of those that spoil the answer the first.
    """

    def __init__(self, *, faults_max: int) -> None:
        self._faults: list[ActiveFault] = []
        self._faults_max = faults_max
        self._next = 1

    def add(self, spec: FaultSpec, *, now_ms: int = 0) -> ActiveFault:
        """Activate a fault. Spent ones make room; raises ``OverflowError`` beyond the limit."""
        if len(self._faults) >= self._faults_max:
            self._faults = [fault for fault in self._faults if not fault.spent(now_ms=now_ms)]
        if len(self._faults) >= self._faults_max:
            raise OverflowError(f"at most {self._faults_max} faults can be active: clear some first")
        fault = ActiveFault(fault_id=f"fault-{self._next}", spec=spec, added_ms=now_ms)
        self._next += 1
        self._faults.append(fault)
        return fault

    def plan(self, subject: Subject) -> Plan:
        """What goes wrong with this request."""
        plan = Plan()
        if not self._faults:
            return plan
        self._meet(subject, plan, Stage.DELAY)
        instead = self._meet(subject, plan, Stage.INSTEAD, once=True)
        if instead:
            plan.instead = instead[0]
            return plan
        work = self._meet(subject, plan, Stage.WORK)
        plan.effects = effects_of(work) if work else NO_EFFECTS
        answer = self._meet(subject, plan, Stage.ANSWER, once=True)
        plan.answer = answer[0] if answer else None
        return plan

    def _meet(self, subject: Subject, plan: Plan, stage: Stage, *, once: bool = False) -> list[Hit]:
        found: list[Hit] = []
        for fault in self._faults:
            if fault.spec.stage is not stage:
                continue
            named = fault.takes(subject)
            if named is None:
                continue
            hit = Hit(fault, named)
            found.append(hit)
            plan.delay_ms += fault.delay_ms()
            if once:
                break
        plan.hits.extend(found)
        return found

    def all(self) -> list[ActiveFault]:
        """Every fault, spent ones too."""
        return list(self._faults)

    def stale_ms(self, platform: str, *, now_ms: int) -> int:
        """The oldest state that a read of the platform may still have to show; 0 when none."""
        return max(
            (
                one.spec.stale_ms
                for one in self._faults
                if one.spec.kind is FaultKind.STALE_READS
                and one.spec.platform in (None, platform)
                and not one.spent(now_ms=now_ms)
            ),
            default=0,
        )

    def clear(self, fault_id: str | None = None) -> int:
        """Remove one fault or all; the number removed."""
        kept = [] if fault_id is None else [fault for fault in self._faults if fault.fault_id != fault_id]
        removed = len(self._faults) - len(kept)
        self._faults = kept
        return removed


def effects_of(hits: Sequence[Hit]) -> Effects:
    """The faults of the work, as the platforms understand them."""
    specs = [(hit.fault, hit.spec) for hit in hits]
    return Effects(
        refusals=tuple(_refusal(fault) for fault, spec in specs if spec.kind is FaultKind.REFUSE_ITEMS),
        silences=tuple(
            Silence(fault.picks, spec.does_work) for fault, spec in specs if spec.kind is FaultKind.HALF_BATCH
        ),
        drifts=tuple(
            DriftRule(fault.picks, spec.changes, spec.drift_ms, spec.seed)
            for fault, spec in specs
            if spec.kind is FaultKind.DRIFT
        ),
        batches=tuple(rule for _, spec in specs if (rule := _batch_rule(spec)) is not None),
        stale_ms=max((spec.stale_ms for _, spec in specs if spec.kind is FaultKind.STALE_READS), default=0),
        forgets=any(spec.kind is FaultKind.FORGET_AUDIENCE for _, spec in specs),
        match_share=next((spec.match_share for _, spec in specs if spec.kind is FaultKind.NO_MATCH), None),
    )


def _refusal(fault: ActiveFault) -> ItemRefusal:
    spec = fault.spec
    return ItemRefusal(
        chosen=fault.picks,
        message=spec.message or REFUSED_ITEM_MESSAGE,
        code=spec.code if spec.code is not None else REFUSED_ITEM_CODE,
        attribute=spec.attribute,
        in_answer=spec.at == "answer",
    )


def _batch_rule(spec: FaultSpec) -> BatchRule | None:
    if spec.kind is FaultKind.LOSE_HANDLE:
        return BatchRule(handle_lost=True, works=spec.does_work)
    if spec.kind is FaultKind.STUCK_BATCH:
        return BatchRule(stuck_ms=spec.stuck_ms or FOREVER_MS, works=spec.does_work)
    if spec.kind is FaultKind.FAIL_BATCH:
        return BatchRule(final_status=spec.final_status)
    return None
