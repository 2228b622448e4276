"""Who is to blame when a platform refuses a whole batch without saying who: group testing by halves. Pure.

A `Hunt` is a set S of items in order. While it is known to hold a culprit (`guilty`):

    send the first half alone
        refused   S := that half; the other half is released to the normal queue
        accepted  S := the other half, which must hold the culprit: it is not sent to find that out
    one item left: it is the culprit, with the reason of the last refusal that covered it

So a culprit among n costs at most ceil(log2 n) calls after the refused batch, and at most one more where the released
items meet another culprit in a normal batch; nothing that was accepted is sent again.

An item whose desired state changes leaves S (its new state goes the normal way), and S is then no longer known to
hold a culprit: it is sent as a whole to know again. Blame is never inferred after such a change. A call that was too
large says nothing about guilt: smaller probes follow, and only an item that is too large alone is blamed.

Where a refusal may as well be a failure of the platform (it took the batch, and failed it later without a word), what
is inferred only says whom to send next: `alone_min` says how often an item must have been refused alone before it is
the culprit. That costs at most `alone_min` calls more.

A hunt is plain data (`to_record`, `from_record`), so that it survives a restart with the items it holds.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunt:
    """`suspects`: S without the call under way. `probe`: what is left in S of the call under way.
    `under_way`: how many items that call was sent with, 0 between calls.

    `guilty`: S as it stood when the probe was sent (now, between calls) holds at least one culprit.
    `probe_intact`, `rest_intact`: nothing has left that part of S since the probe was sent.
    `probe_max`: the longest probe, after a call that was too large.
    `alone_min`: refusals alone before an item is blamed, 0 where blame may be inferred; `alone`: how many the only
    suspect has.
    `reason`: of the last refusal, as the caller stores it."""

    suspects: tuple[str, ...]
    guilty: bool
    reason: str = ""
    under_way: int = 0
    probe: tuple[str, ...] = ()
    probe_intact: bool = True
    rest_intact: bool = True
    probe_max: int | None = None
    alone_min: int = 0
    alone: int = 0

    @property
    def ids(self) -> tuple[str, ...]:
        """Everything that the hunt holds back from normal batches, in order."""
        return self.probe + self.suspects

    @property
    def is_over(self) -> bool:
        return not self.ids

    def to_record(self) -> dict[str, Any]:
        """JSON values; `from_record` makes the same hunt of them."""
        return {
            "suspects": list(self.suspects),
            "guilty": self.guilty,
            "reason": self.reason,
            "under_way": self.under_way,
            "probe": list(self.probe),
            "probe_intact": self.probe_intact,
            "rest_intact": self.rest_intact,
            "probe_max": self.probe_max,
            "alone_min": self.alone_min,
            "alone": self.alone,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What an answer means: `released` go back to the normal queue, `accepted` arrived, `culprits` are refused for
    `reason`. `hunt` goes on, or is over."""

    hunt: Hunt
    accepted: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    culprits: tuple[str, ...] = ()
    reason: str = ""


def from_record(record: Mapping[str, Any]) -> Hunt:
    return Hunt(
        suspects=tuple(record["suspects"]),
        guilty=record["guilty"],
        reason=record["reason"],
        under_way=record["under_way"],
        probe=tuple(record["probe"]),
        probe_intact=record["probe_intact"],
        rest_intact=record["rest_intact"],
        probe_max=record["probe_max"],
        alone_min=record.get("alone_min", 0),
        alone=record.get("alone", 0),
    )


def start(
    batch: Sequence[str],
    reason: str,
    *,
    changed: Collection[str] = (),
    alone_min: int = 0,
    was_whole: bool = True,
) -> Step:
    """A whole batch was refused for `reason`, which names nobody. `changed`: those of it whose desired state is
    already another one; they are not part of the hunt. A batch of one item is its own culprit (or was refused alone
    once, see `alone_min`). `was_whole` False: others were in the call too, and nothing is known of these alone."""
    left = set(changed)
    suspects = tuple(item for item in batch if item not in left)
    guilty = was_whole and len(suspects) == len(batch)
    alone = 1 if guilty and len(batch) == 1 else 0
    return _settle(Hunt(suspects=suspects, guilty=guilty, reason=reason, alone_min=alone_min, alone=alone))


def next_probe(hunt: Hunt) -> tuple[str, ...]:
    """The ids to send now, alone: half of S where S is guilty, else all of it. () when the hunt is over or a call
    is under way."""
    if hunt.under_way or not hunt.suspects:
        return ()
    size = (len(hunt.suspects) + 1) // 2 if hunt.guilty else len(hunt.suspects)
    return hunt.suspects[: min(size, hunt.probe_max or size)]


def sent(hunt: Hunt) -> Hunt:
    """The next probe is under way: store this before the call. Raises ValueError when there is none."""
    probe = next_probe(hunt)
    if not probe:
        raise ValueError("the hunt has no call to make")
    return replace(
        hunt,
        under_way=len(probe),
        probe=probe,
        suspects=hunt.suspects[len(probe) :],
        probe_intact=True,
        rest_intact=True,
    )


def accepted(hunt: Hunt) -> Step:
    """The platform took the probe (what it says of single items is theirs)."""
    _must_probe(hunt)
    guilty = hunt.guilty and hunt.rest_intact
    rest = replace(hunt, under_way=0, probe=(), guilty=guilty, probe_intact=True, rest_intact=True)
    step = _settle(rest)
    return replace(step, accepted=hunt.probe)


def refused(hunt: Hunt, reason: str) -> Step:
    """The platform refused the probe as a whole for `reason`, again without a name."""
    _must_probe(hunt)
    smaller = Hunt(
        suspects=hunt.probe,
        guilty=hunt.probe_intact,
        reason=reason,
        probe_max=hunt.probe_max,
        alone_min=hunt.alone_min,
        alone=hunt.alone + 1 if hunt.under_way == 1 else 0,
    )
    step = _settle(smaller)
    return replace(step, released=hunt.suspects + step.released)


def refused_for_sure(hunt: Hunt, reason: str) -> Step:
    """As `refused`, where this once there is no doubt that it was for the probe: who is alone in it is the culprit now.
    What the hunt asks of later answers stays."""
    step = refused(replace(hunt, alone_min=0), reason)
    return step if step.hunt.is_over else replace(step, hunt=replace(step.hunt, alone_min=hunt.alone_min))


def too_large(hunt: Hunt, reason: str) -> Step:
    """The probe was too large for one call. Alone, it is to blame for that; else the next probe is half as long."""
    _must_probe(hunt)
    back = unanswered(hunt)
    if hunt.under_way > 1:
        return Step(hunt=replace(back, probe_max=hunt.under_way // 2))
    if not hunt.probe_intact:
        return Step(hunt=back)
    # Whether the refusal at the start was about this item or another one is open now.
    step = _settle(replace(back, suspects=hunt.suspects, guilty=False))
    return replace(step, culprits=hunt.probe + step.culprits, reason=reason)


def unanswered(hunt: Hunt) -> Hunt:
    """The call did not count (throttled, not sent), or a look showed that nothing of it arrived: S as before it."""
    return replace(
        hunt,
        under_way=0,
        probe=(),
        suspects=hunt.probe + hunt.suspects,
        guilty=hunt.guilty and hunt.probe_intact and hunt.rest_intact,
        probe_intact=True,
        rest_intact=True,
    )


def left(hunt: Hunt, changed: Collection[str]) -> Step:
    """The desired state of these changed: they leave. Those under way in the probe get its verdict for what was sent,
    from the caller; here only the rest of the hunt matters."""
    gone = set(changed)
    suspects = tuple(item for item in hunt.suspects if item not in gone)
    probe = tuple(item for item in hunt.probe if item not in gone)
    rest_intact = hunt.rest_intact and len(suspects) == len(hunt.suspects)
    probe_intact = hunt.probe_intact and len(probe) == len(hunt.probe)
    if hunt.under_way:
        return Step(
            hunt=replace(
                hunt, suspects=suspects, probe=probe, rest_intact=rest_intact, probe_intact=probe_intact
            )
        )
    return _settle(replace(hunt, suspects=suspects, guilty=hunt.guilty and rest_intact))


def _must_probe(hunt: Hunt) -> None:
    if not hunt.under_way:
        raise ValueError("no call of the hunt is under way")


def _settle(hunt: Hunt) -> Step:
    """One guilty item is the culprit, once it was refused alone as often as it takes."""
    if hunt.guilty and len(hunt.suspects) == 1 and hunt.alone >= hunt.alone_min:
        over = Hunt(suspects=(), guilty=False)
        return Step(hunt=over, culprits=hunt.suspects, reason=hunt.reason)
    if not hunt.suspects:
        return Step(hunt=Hunt(suspects=(), guilty=False))
    return Step(hunt=hunt)


def halve_by_size(sizes_bytes: Sequence[int]) -> int:
    """Where to cut a batch that was too large: how many of the first records make the half that is as near as possible
    to half of the bytes, both halves not empty. 0 for a single record, which is too large itself."""
    if len(sizes_bytes) < 2:
        return 0
    whole, taken, best = sum(sizes_bytes), 0, 1
    nearest = float("inf")
    for count, size in enumerate(sizes_bytes[:-1], start=1):
        taken += size
        distance = abs(2 * taken - whole)
        if distance < nearest:
            best, nearest = count, distance
    return best
