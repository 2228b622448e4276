"""A platform in virtual time: it counts calls when they arrive, refuses what it does not like, and loses answers."""

import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.simulation.clockwork import Clockwork
from tests.simulation.scenario import Scenario, Trouble
from vitrin.kit.delivery.rate import Usage
from vitrin.platforms.base import (
    FailureKind,
    Operation,
    OperationKind,
    Outcome,
    PlatformFailure,
    PollResult,
    Problem,
    SendResult,
    Verdict,
)

Endpoint = Literal["send", "poll", "read"]
WINDOW_S = 60.0
TIMEOUT_S = 10.0
LATE_MAX_S = 3.0
"""What was cut off arrives so much later at the most: before the looks at it are over."""
BATCH_S = (0.0, 0.2, 3.0, 30.0)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client hears. `counted`: whether the platform saw the call; `usage` as its headers say it."""

    result: Any
    usage: Usage | None = None
    counted: bool = True


@dataclass
class Batch:
    done_at_s: float
    verdicts: dict[str, Verdict]
    known: bool = True


@dataclass
class Quota:
    limit: int
    taken: deque[float] = field(default_factory=deque)

    def arrive(self, now_s: float) -> bool:
        while self.taken and self.taken[0] <= now_s - WINDOW_S:
            self.taken.popleft()
        if len(self.taken) >= self.limit:
            return False
        self.taken.append(now_s)
        return True


class Platform:
    """`shown`: item -> all its attributes. `heard`: told of every operation that is carried out, before it is."""

    def __init__(self, scenario: Scenario, clock: Clockwork) -> None:
        self.traits = scenario.traits
        self.refused, self.nameless = scenario.refused, scenario.nameless
        self.clock = clock
        self.shown: dict[str, dict[str, object]] = {}
        self.drifted: set[str] = set()
        self.dropped: Counter[str] = Counter()
        """How often an item was accepted and is not there, or not as it was sent."""
        self.failed_alone: Counter[str] = Counter()
        self.batches: dict[str, Batch] = {}
        self.quotas = {name: Quota(scenario.traits.quota) for name in ("send", "poll", "read")}
        self.troubles: list[Trouble] = []
        self.down_until_s = float("-inf")
        self.heard: Callable[[Operation], None] = lambda operation: None
        self.throttles = 0
        self.calls = 0

    def trouble(self, trouble: Trouble) -> None:
        if trouble.kind == "outage":
            self.down_until_s = max(self.down_until_s, self.clock.now_s + trouble.for_s)
            return
        self.troubles += [trouble] * trouble.count

    def call(self, endpoint: Endpoint, body: Any, resume: Callable[[Any], None]) -> None:
        """One HTTP call: a delay there, the work, a delay back; unless something is wrong."""
        chance = self.clock.chance
        there_s, back_s = chance.uniform(0.02, 0.3), chance.uniform(0.02, 0.3)
        wrong = next((one for one in self.troubles if one.endpoint == endpoint), None)
        if wrong is not None:
            self.troubles.remove(wrong)
        kind = wrong.kind if wrong else None
        seed = wrong.seed if wrong else 0
        self.calls += 1
        self.clock.note(f"call {endpoint} {kind or ''} {_words(body)}")
        if self.clock.now_s < self.down_until_s and chance.random() < 0.5:
            kind = "no_connection"
        if kind == "no_connection":
            self._later(there_s, resume, _failure(FailureKind.NOT_SENT), counted=False)
            return
        if kind == "lost_request":
            self._later(TIMEOUT_S, resume, _failure(FailureKind.UNKNOWN_OUTCOME))
            return
        if kind == "late_request":
            self.clock.after(
                TIMEOUT_S + chance.uniform(0, LATE_MAX_S), lambda: self._work(endpoint, body, "late", 0)
            )
            self._later(TIMEOUT_S, resume, _failure(FailureKind.UNKNOWN_OUTCOME))
            return
        if kind == "slow":
            there_s += chance.uniform(1.0, 6.0)

        def arrive() -> None:
            result = self._work(endpoint, body, kind, seed)
            if kind == "duplicate":
                self._work(endpoint, body, None, 0)
            if kind == "lost_answer" and not isinstance(result, PlatformFailure):
                self._later(TIMEOUT_S - there_s, resume, _failure(FailureKind.UNKNOWN_OUTCOME))
            elif kind == "unwell_after":
                self._later(back_s, resume, _failure(FailureKind.TRANSIENT))
            else:
                self._later(back_s, resume, result)

        self.clock.after(there_s, arrive)

    def _later(
        self, seconds: float, resume: Callable[[Any], None], result: Any, *, counted: bool = True
    ) -> None:
        quota = self.quotas["send"]
        usage = None
        if self.traits.tells_usage and counted:
            usage = Usage(share=int(100 * len(quota.taken) / quota.limit) / 100)
        self.clock.after(seconds, lambda: resume(Reply(result, usage, counted)))

    def _work(self, endpoint: Endpoint, body: Any, kind: str | None, seed: int) -> Any:
        now_s = self.clock.now_s
        if now_s < self.down_until_s or kind == "unwell":
            return _failure(FailureKind.TRANSIENT)
        if not self.quotas[endpoint].arrive(now_s):
            self.throttles += 1
            return _failure(FailureKind.THROTTLED)
        if kind == "throttle":
            return _failure(FailureKind.THROTTLED, retry_after_s=5.0 + seed % 60)
        if endpoint == "send":
            return self._send(body, kind, random.Random(seed))
        if endpoint == "poll":
            return self._poll(*body)
        return {item: dict(self.shown[item]) if item in self.shown else None for item in body}

    def _send(self, operations: Sequence[Operation], kind: str | None, chance: random.Random) -> Any:
        assert len(operations) <= self.traits.batch_items_max
        assert len({one.platform_item_id for one in operations}) == len(operations)
        size = sum(one.size_bytes for one in operations)
        if size > self.traits.true_bytes_max:
            return _failure(FailureKind.TOO_LARGE)
        disliked = any(one.platform_item_id in self.nameless for one in operations)
        if disliked and not self.traits.wordless:
            return _failure(FailureKind.INVALID_REQUEST)
        failed = (kind == "fail_batch" or disliked) and self.traits.asynchronous
        if failed and self.traits.wordless and len(operations) == 1:
            self.failed_alone[operations[0].platform_item_id] += 1
        drops = self.traits.silent and self.traits.read_back
        verdicts: dict[str, Verdict] = {}
        for operation in operations:
            item = operation.platform_item_id
            if failed:
                verdicts[item] = Verdict(item, Outcome.REFUSED if self.traits.wordless else Outcome.UNKNOWN)
            elif kind == "half_batch" and chance.random() < 0.5:
                verdicts[item] = Verdict(item, Outcome.ACCEPTED if drops else Outcome.UNKNOWN)
                self.dropped[item] += drops
            else:
                verdicts[item] = self._carry_out(operation, late=kind == "late")
        if kind == "drift":
            self._drift([one.platform_item_id for one in operations], chance)
        if not self.traits.asynchronous:
            return SendResult(None, tuple(verdicts.values()))
        handle = f"handle-{len(self.batches)}"
        done_at_s = self.clock.now_s + self.clock.chance.choice(BATCH_S)
        self.batches[handle] = Batch(done_at_s, verdicts, known=kind != "lose_handle")
        return SendResult(handle)

    def _carry_out(self, operation: Operation, *, late: bool) -> Verdict:
        """`late`: the call was given up long ago; what is decided now is not to be judged by it."""
        item = operation.platform_item_id
        if item in self.refused:
            return Verdict(item, Outcome.REFUSED, (Problem("policy", "", "Not allowed here.", ""),))
        if operation.kind is not OperationKind.UPSERT and item not in self.shown:
            return Verdict(item, Outcome.REFUSED, (Problem("not_on_platform", "", "No such item.", ""),))
        if not late:
            self.heard(operation)
        if operation.kind is OperationKind.DELETE:
            del self.shown[item]
        elif operation.kind is OperationKind.OFFER:
            self.shown[item] |= dict(operation.attributes)
        else:
            self.shown[item] = dict(operation.attributes)
        if operation.kind is not OperationKind.OFFER:
            self.drifted.discard(item)
        return Verdict(item, Outcome.ACCEPTED)

    def _drift(self, items: Sequence[str], chance: random.Random) -> None:
        for item in items:
            if item not in self.shown or chance.random() < 0.5:
                continue
            self.drifted.add(item)
            self.dropped[item] += 1
            if chance.random() < 0.4:
                del self.shown[item]
            else:
                self.shown[item]["price"] = -1

    def _poll(self, handle: str, sent: Sequence[str]) -> Any:
        batch = self.batches.get(handle)
        if batch is None or not batch.known:
            return _failure(FailureKind.INVALID_REQUEST)
        if self.clock.now_s < batch.done_at_s:
            return PollResult(done=False)
        return PollResult(done=True, verdicts=tuple(batch.verdicts[item] for item in sent))


def _failure(kind: FailureKind, *, retry_after_s: float | None = None) -> PlatformFailure:
    return PlatformFailure(
        kind, code=kind.value, message=f"The platform: {kind}.", retry_after_s=retry_after_s
    )


def _words(body: Any) -> str:
    if isinstance(body, Mapping):
        return " ".join(sorted(body))
    if isinstance(body, tuple):
        return str(body[0])
    return " ".join(f"{one.kind.value}:{one.platform_item_id}" for one in body)
