"""What the relay decides: may it produce now, what is marked after which acks, which topics came back empty. Pure.

The lease and the fence are two guards. The lease keeps two relays from producing one shard at a time: a relay that
holds it until `until_s` (of its own monotonic clock, taken before the lease was asked for) starts a batch only
`margin_s` before, and hands no record over later than `delivery_s` before, since a record may be under way so long.
The fence keeps a mark from counting that was made after the shard had changed hands.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID


class Row(Protocol):
    @property
    def shard(self) -> int: ...
    @property
    def topic(self) -> str: ...


class Place(Protocol):
    """Where an acknowledged record stands."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """Seconds. `lease_s`: how long a lease lasts; `renew_s`: it is renewed so long after it was taken; `delivery_s`: a
    record that was handed over has arrived by then, or never will; `margin_s`: what a batch needs at the least."""

    lease_s: float
    renew_s: float
    delivery_s: float
    margin_s: float

    def until_s(self, asked_at_s: float) -> float:
        """The lease's end. Counted from before it was asked for: the database's clock started it later."""
        return asked_at_s + self.lease_s

    def must_ask(self, now_s: float, until_s: float, *, holds: bool) -> bool:
        """Renew, and take what has expired; a relay without a shard asks in every round."""
        return not holds or now_s >= until_s - self.lease_s + self.renew_s

    def may_produce(self, now_s: float, until_s: float) -> bool:
        """A batch that starts now is delivered before somebody else may have the shard."""
        return now_s <= until_s - self.margin_s

    def hand_over_until_s(self, until_s: float) -> float:
        """No record of the batch leaves the relay's hands later, however long it was stalled meanwhile."""
        return until_s - self.delivery_s


def lanes(fences: Mapping[int, int], *, count: int) -> list[dict[int, int]]:
    """Shards, with their fences, in at most so many groups of about the same size; none is empty."""
    shards = sorted(fences)
    groups = [{shard: fences[shard] for shard in shards[number::count]} for number in range(count)]
    return [group for group in groups if group]


def acknowledged(rows: Sequence[R], sizes: Sequence[int], acks: Sequence[object | None]) -> list[R]:
    """The leading rows of which every record was acknowledged: the successors of a row that was not are sent again
    behind it, also where they arrived. `sizes`: records of each row; `acks`: of all records in order."""
    done: list[R] = []
    position = 0
    for row, size in zip(rows, sizes, strict=True):
        if any(ack is None for ack in acks[position : position + size]):
            break
        position += size
        done.append(row)
    return done


def up_to_too_large(rows: Sequence[R], too_large: Collection[int]) -> tuple[list[int], dict[int, R]]:
    """`too_large`: positions of rows with a record that no broker takes. The positions that can be sent, and by shard
    the row that stops it: what stands behind that one must wait, other shards go on."""
    stopped: dict[int, R] = {}
    sendable: list[int] = []
    for position, row in enumerate(rows):
        if row.shard in stopped:
            continue
        if position in too_large:
            stopped[row.shard] = row
        else:
            sendable.append(position)
    return sendable, stopped


def marks(rows: Iterable[R]) -> dict[tuple[int, str], list[R]]:
    """Rows by what one mark covers: a shard (its fence) and a topic (its incarnation)."""
    groups: dict[tuple[int, str], list[R]] = {}
    for row in rows:
        groups.setdefault((row.shard, row.topic), []).append(row)
    return groups


def ends(acks: Iterable[Place], topic_ids: Mapping[str, UUID]) -> dict[tuple[str, UUID, int], int]:
    """How far each partition is written for sure. The broker's own answer to that is not always true (ADR 3)."""
    found: dict[tuple[str, UUID, int], int] = {}
    for ack in acks:
        place = (ack.topic, topic_ids[ack.topic], ack.partition)
        found[place] = max(found.get(place, 0), ack.offset + 1)
    return found


def unseen(rows: Iterable[Row], seen: Collection[tuple[int, str]]) -> set[tuple[int, str]]:
    """Shards that use a topic for the first time: its incarnation is stored before anything is marked with it."""
    return {(row.shard, row.topic) for row in rows} - set(seen)


def reborn(known: Mapping[tuple[int, str], UUID], found: Mapping[str, UUID]) -> dict[tuple[int, str], UUID]:
    """Topics that are another incarnation than the one that the shard's rows went to. One that was not found says
    nothing: the broker may be starting."""
    return {
        (shard, topic): found[topic]
        for (shard, topic), topic_id in known.items()
        if topic in found and found[topic] != topic_id
    }
