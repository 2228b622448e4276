"""An item on a channel: facts (desired, in flight, confirmed, refused) and the state that follows from them.

Events change facts; `settle` derives the state, so that a state can never contradict its facts:

    excluded   must not be there, and never was        accepted   the platform took the desired hash
    invalid    cannot be sent as it is                 live       and was seen to show it
    pending    waits to be sent                        rejected   the platform refused the desired hash
    sent       in flight                               removed    was there, and is gone
    unknown    in flight, and nobody knows the outcome
    held       shown as it was, because its removal waits for an approval (or was rejected)

A verdict belongs to the hash it was sent with: what changed meanwhile is pending again by itself.
"""

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Final
from uuid import UUID


class State(StrEnum):
    EXCLUDED = "excluded"
    INVALID = "invalid"
    PENDING = "pending"
    SENT = "sent"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    LIVE = "live"
    REJECTED = "rejected"
    REMOVED = "removed"
    HELD = "held"


class Want(StrEnum):
    """What should be on the platform: the item, nothing, or (invalid) what is there already."""

    PRESENT = "present"
    ABSENT = "absent"
    HOLD = "hold"


class Lane(IntEnum):
    """Order of sending: the lower first."""

    OFFER = 0
    CONTENT = 1
    BACKLOG = 2
    SUSPECT = 3
    """In no ordinary batch: a hunt for the culprit of a refused batch sends it."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, in the same words for every platform: stable code, the field, what was wrong, what to do."""

    code: str
    field: str = ""
    message: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Hashes:
    """Digest of what is (to be) shown, per lane."""

    content: bytes
    offer: bytes


GONE: Final = Hashes(content=b"gone", offer=b"")


@dataclass(frozen=True, slots=True)
class InFlight:
    attempt_id: UUID
    hashes: Hashes
    unknown: bool = False

    @property
    def deletes(self) -> bool:
        return self.hashes == GONE


@dataclass(frozen=True, slots=True)
class Facts:
    """`desired` is GONE when nothing should be there, None while invalid (unless the offer of what is there follows).
    `exposed`: the platform may hold the item.

    `backlog`: waits as part of a first sync, behind newer changes.
    `hunt_id`: was in a batch that was refused as a whole, and the hunt for the culprit holds it as it is desired now.
    `seen`: a look showed what is confirmed, or that what was removed is gone.
    `resends`: how often what is desired was sent again because the platform had accepted it and did not show it.
    `held`: why the shop's wish to take it down or to mark it as sold out is not followed (see `guard`). Whoever sets
    a new desired state says it anew.
    """

    want: Want
    why: tuple[Reason, ...] = ()
    desired: Hashes | None = None
    in_flight: InFlight | None = None
    confirmed: Hashes | None = None
    refused: Hashes | None = None
    refusal: tuple[Reason, ...] = ()
    seen: bool = False
    note: tuple[Reason, ...] = ()
    exposed: bool = False
    removed: bool = False
    backlog: bool = False
    hunt_id: UUID | None = None
    held: tuple[Reason, ...] = ()
    resends: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """`lane` only when pending."""

    state: State
    reasons: tuple[Reason, ...] = ()
    lane: Lane | None = None


def settle(facts: Facts) -> Settled:
    """The state that follows from the facts."""
    plain = _settle(facts)
    if not facts.held:
        return plain
    at_rest = plain.state in {State.ACCEPTED, State.LIVE} or (plain.state is State.INVALID and not facts.why)
    return Settled(State.HELD if at_rest else plain.state, (*plain.reasons, *facts.held), plain.lane)


def _settle(facts: Facts) -> Settled:
    if facts.in_flight is not None:
        return Settled(State.UNKNOWN if facts.in_flight.unknown else State.SENT, facts.note)
    if facts.want is Want.HOLD:
        follows = facts.desired not in (None, facts.confirmed, facts.refused)
        lane = Lane.SUSPECT if facts.hunt_id else Lane.OFFER
        return Settled(State.PENDING, facts.why, lane) if follows else Settled(State.INVALID, facts.why)
    if facts.desired == facts.refused:
        return Settled(State.REJECTED, facts.refusal)
    if facts.want is Want.ABSENT:
        if facts.exposed:
            return Settled(
                State.PENDING, (*facts.note, *facts.why), Lane.SUSPECT if facts.hunt_id else Lane.CONTENT
            )
        return Settled(State.REMOVED if facts.removed else State.EXCLUDED, facts.why)
    if facts.desired == facts.confirmed:
        return Settled(State.LIVE if facts.seen else State.ACCEPTED, () if facts.seen else facts.note)
    return Settled(State.PENDING, facts.note, _lane(facts))


def ordinary_lane(facts: Facts) -> Lane | None:
    """The lane that the item has, or would have without a hunt."""
    return settle(replace(facts, hunt_id=None)).lane


def _lane(facts: Facts) -> Lane:
    """The fast lane serves only what the platform has accepted; else price and stock travel with the content."""
    if facts.hunt_id is not None:
        return Lane.SUSPECT
    if facts.confirmed and facts.desired and facts.confirmed.content == facts.desired.content:
        return Lane.OFFER
    return Lane.BACKLOG if facts.backlog else Lane.CONTENT


def desire_present(facts: Facts, hashes: Hashes, *, backlog: bool = False) -> Facts:
    changed = facts.desired != hashes
    return replace(
        facts,
        want=Want.PRESENT,
        why=(),
        desired=hashes,
        backlog=backlog if changed else facts.backlog,
        removed=False,
        note=() if changed else facts.note,
        hunt_id=None if changed else facts.hunt_id,
        held=(),
        resends=0 if changed else facts.resends,
    )


def desire_absent(facts: Facts, reason: Reason) -> Facts:
    same = facts.desired == GONE
    return replace(
        facts,
        want=Want.ABSENT,
        why=(reason,),
        desired=GONE,
        backlog=False,
        note=(),
        hunt_id=facts.hunt_id if same else None,
        held=(),
        resends=facts.resends if same else 0,
    )


def hold(facts: Facts, problems: tuple[Reason, ...], offer: bytes | None = None) -> Facts:
    """Cannot be sent as it is. The content that the platform accepted before stays there; `offer`, the digest of the
    price and stock now, still follows it."""
    held = facts.confirmed if facts.confirmed != GONE else None
    desired = Hashes(held.content, offer) if held is not None and offer is not None else None
    same = desired is not None and desired == facts.desired
    return replace(
        facts,
        want=Want.HOLD,
        why=problems,
        desired=desired,
        backlog=False,
        note=(),
        hunt_id=facts.hunt_id if same else None,
        held=(),
        resends=facts.resends if same else 0,
    )


def may_follow(facts: Facts) -> bool:
    """It turned invalid while it was on its way, and has arrived: whatever price and stock were decided meanwhile had
    nothing to follow then. Who stores the arrival decides anew what is desired."""
    return (
        facts.want is Want.HOLD
        and facts.desired is None
        and facts.in_flight is None
        and bool(facts.confirmed)
    )


def withheld(facts: Facts, reasons: tuple[Reason, ...]) -> Facts:
    """The desired state was set so that what is shown stays: this is why, until it is set again."""
    return replace(facts, held=reasons)


def taken(facts: Facts, attempt_id: UUID) -> Facts:
    """The item goes into an attempt with the hash desired now. ValueError when it was not pending."""
    if settle(facts).lane is None or facts.desired is None:
        raise ValueError("only a pending item can be taken")
    return replace(facts, in_flight=InFlight(attempt_id, facts.desired), backlog=False)


def accepted(facts: Facts, *, seen: bool = False) -> Facts:
    """The platform took what was in flight. `seen`: and shows it (or offers no way to look)."""
    flight = facts.in_flight
    if flight is None:
        return facts
    done = replace(facts, in_flight=None, refused=None, refusal=(), note=(), hunt_id=None)
    if facts.want is Want.HOLD:
        # Price and stock follow what is there now, not what was there when the item turned invalid.
        follows = facts.desired is not None and not flight.deletes
        offer = facts.desired.offer if facts.desired is not None else b""
        done = replace(done, desired=Hashes(flight.hashes.content, offer) if follows else None)
    if flight.deletes:
        return replace(done, confirmed=None, exposed=False, removed=True, seen=seen)
    return replace(done, confirmed=flight.hashes, exposed=True, seen=seen, removed=False)


def refused(facts: Facts, reasons: tuple[Reason, ...]) -> Facts:
    """The platform refused what was in flight; it still holds what it held before."""
    flight = facts.in_flight
    if flight is None:
        return facts
    return replace(facts, in_flight=None, refused=flight.hashes, refusal=reasons, note=(), hunt_id=None)


def suspected(facts: Facts, hunt_id: UUID, note: Reason) -> Facts:
    """The batch of the item was refused as a whole: it waits in a hunt, unless something else is desired by now."""
    flight = facts.in_flight
    if flight is None or flight.hashes != facts.desired:
        return requeue(facts)
    return replace(requeue(facts, (note,)), hunt_id=hunt_id)


def released(facts: Facts) -> Facts:
    """The hunt has no more use for the item: it goes the ordinary way again."""
    return replace(facts, hunt_id=None, note=())


def convicted(facts: Facts, reasons: tuple[Reason, ...]) -> Facts:
    """The hunt found that what is desired is what the platform refuses."""
    return replace(facts, refused=facts.desired, refusal=reasons, note=(), hunt_id=None)


def missing(facts: Facts, reasons: tuple[Reason, ...]) -> Facts:
    """The platform answered that it holds no such item. For a delete that was wanted; for price and stock of an item
    that somebody took down there, the whole item goes out next; an item sent whole is refused."""
    flight = facts.in_flight
    if flight is None:
        return facts
    if flight.deletes:
        return accepted(facts, seen=True)
    if facts.confirmed is None or facts.confirmed.content != flight.hashes.content:
        return refused(facts, reasons)
    desired = None if facts.want is Want.HOLD else facts.desired
    return replace(
        facts,
        desired=desired,
        in_flight=None,
        confirmed=None,
        seen=False,
        exposed=False,
        note=reasons,
        hunt_id=None,
    )


def unknown(facts: Facts, reason: Reason) -> Facts:
    if facts.in_flight is None:
        return facts
    exposed = facts.exposed or not facts.in_flight.deletes
    return replace(facts, in_flight=replace(facts.in_flight, unknown=True), exposed=exposed, note=(reason,))


def requeue(facts: Facts, note: tuple[Reason, ...] = ()) -> Facts:
    """The item waits again. After an unknown outcome nothing counts as confirmed: the call may have been late, and
    the platform may hold either version, so the whole item goes out next. `exposed` stays for the same reason."""
    if facts.in_flight is None:
        return facts
    if facts.in_flight.unknown:
        facts = replace(facts, confirmed=None, seen=False)
    return replace(facts, in_flight=None, note=note)


def seen(facts: Facts) -> Facts:
    """A read-back showed what was confirmed; a review that had refused it has changed its mind."""
    if facts.confirmed is None:
        return facts
    if facts.refused == facts.confirmed:
        facts = replace(facts, refused=None, refusal=())
    return replace(facts, seen=True, note=(), resends=0)


def disapproved(facts: Facts, reasons: tuple[Reason, ...]) -> Facts:
    """The platform holds what it accepted, but its review does not show it."""
    if facts.confirmed is None:
        return facts
    return replace(facts, refused=facts.confirmed, refusal=reasons, seen=False, note=())


def not_seen(facts: Facts, reason: Reason) -> Facts:
    return replace(facts, note=(reason,)) if facts.confirmed is not None and not facts.seen else facts


def disconnected(facts: Facts, reason: Reason) -> Facts:
    """The channel closed before the item was settled: nothing is sent or taken down any more."""
    return replace(
        facts,
        want=Want.ABSENT,
        why=(reason,),
        desired=GONE,
        in_flight=None,
        refused=None,
        refusal=(),
        exposed=False,
        removed=False,
        note=(),
        hunt_id=None,
        held=(),
        resends=0,
    )


def as_json(reasons: tuple[Reason, ...]) -> list[dict[str, str]]:
    return [{"code": r.code, "field": r.field, "message": r.message, "fix": r.fix} for r in reasons]


def from_json(rows: list[dict[str, str]]) -> tuple[Reason, ...]:
    return tuple(Reason(**row) for row in rows)
