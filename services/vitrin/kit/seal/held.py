"""Keys in the memory of a process: bounded, each until its time is over, asked for once however many wait.

A key that is past half of its time is asked for anew on its next use; while accounts is away the held one serves until
its end. That is how long a process works without accounts, and how long an erased person can still be opened here.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vitrin.kit import metrics
from vitrin.kit.clock import EPOCH
from vitrin.kit.seal.errors import SealRefused, SealUnavailable
from vitrin.kit.seal.keys import ById, Held, KeySource, Leased, Wanted

ASKED_MAX: Final = 500
"""Keys in one question; accounts refuses more."""
KEYS_MAX: Final = 50_000
QUIET_S: Final = 5.0
"""After a failure nobody asks ahead for so long: a key that still serves must not wait for a dead accounts."""

LOOKUPS = metrics.counter(
    "vitrin_seal_lookups_total",
    "Keys of personal data looked up in this process: held, leased, held_in_outage, unavailable, refused.",
    ("outcome",),
)
KEYS = metrics.gauge("vitrin_seal_keys_held", "Keys of personal data in the memory of this process.")
Slot = tuple[UUID, Wanted]
Question: TypeAlias = "asyncio.Task[dict[Slot, Held]]"


class HeldKeys:
    """Not for threads: one event loop."""

    def __init__(
        self, source: KeySource, monotonic: Callable[[], float], *, keys_max: int = KEYS_MAX
    ) -> None:
        self._source = source
        self._monotonic = monotonic
        self._keys_max = keys_max
        self._held: OrderedDict[Slot, Held] = OrderedDict()
        self._asking: dict[Slot, Question] = {}
        self._quiet_until = float("-inf")
        self._forgotten = 0

    async def get(self, brand: UUID, wanted: Sequence[Wanted]) -> list[Held]:
        """In the order of `wanted`. SealUnavailable, SealRefused."""
        now = self._monotonic()
        answers: dict[Slot, Held] = {}
        needed: list[Slot] = []
        ahead: list[Slot] = []
        for slot in _once_each(brand, wanted):
            held = self._lookup(slot, now)
            if held is None or _is_back(held, slot):
                needed.append(slot)
                continue
            answers[slot] = held
            if now - held.asked_at > (held.until - held.asked_at) / 2 and now >= self._quiet_until:
                ahead.append(slot)
        LOOKUPS.labels("held").inc(len(answers) - len(ahead))
        answers.update(await self._ask(needed))
        LOOKUPS.labels("leased").inc(len(needed))
        answers.update(await self._ask_ahead(ahead))
        return [answers[(brand, one)] for one in wanted]

    def forget(self, brand: UUID, of: Iterable[Wanted]) -> None:
        """After an erasure from here. Every key by its id of the brand goes with them: which was whose is not kept."""
        self._forgotten += 1
        gone = {(brand, one) for one in of}
        for slot in [slot for slot in self._held if slot in gone or _by_id_of(slot, brand)]:
            del self._held[slot]
        KEYS.set(len(self._held))

    async def _ask_ahead(self, ahead: Sequence[Slot]) -> dict[Slot, Held]:
        if not ahead:
            return {}
        try:
            answers = await self._ask(ahead)
        except (SealUnavailable, SealRefused):
            self._quiet_until = self._monotonic() + QUIET_S
            LOOKUPS.labels("held_in_outage").inc(len(ahead))
            return {}
        LOOKUPS.labels("leased").inc(len(ahead))
        return answers

    async def _ask(self, slots: Sequence[Slot]) -> dict[Slot, Held]:
        """Each slot is in one question at a time, or two where the first did not say that a person came back."""
        shared = {slot: self._asking[slot] for slot in slots if slot in self._asking}
        fresh = self._questions([slot for slot in slots if slot not in shared])
        answers = await _all_of({*shared.values(), *fresh})
        again = [slot for slot in shared if _is_back(answers[slot], slot)]
        if again:
            answers.update(await _all_of(self._questions(again)))
        return {slot: answers[slot] for slot in slots}

    def _questions(self, slots: Sequence[Slot]) -> set[Question]:
        """Tasks of their own: whoever is cancelled while it waits takes an answer from nobody else."""
        tasks = set()
        for start in range(0, len(slots), ASKED_MAX):
            chunk = slots[start : start + ASKED_MAX]
            task = asyncio.create_task(self._question(chunk))
            task.add_done_callback(_seen)
            self._asking.update(dict.fromkeys(chunk, task))
            tasks.add(task)
        return tasks

    async def _question(self, slots: Sequence[Slot]) -> dict[Slot, Held]:
        brand, asked_at, forgotten = slots[0][0], self._monotonic(), self._forgotten
        try:
            leased, good_for_s = await self._source.lease(brand, [wanted for _, wanted in slots])
            answers = {
                slot: _held(one, asked_at, good_for_s) for slot, one in zip(slots, leased, strict=True)
            }
        except SealUnavailable:
            LOOKUPS.labels("unavailable").inc(len(slots))
            raise
        except SealRefused:
            LOOKUPS.labels("refused").inc(len(slots))
            raise
        finally:
            mine = asyncio.current_task()
            for slot in slots:
                if self._asking.get(slot) is mine:
                    del self._asking[slot]
        if forgotten == self._forgotten:  # else the answer may be older than the erasure
            for slot, held in answers.items():
                self._keep(slot, held)
        return answers

    def _lookup(self, slot: Slot, now: float) -> Held | None:
        held = self._held.get(slot)
        if held is None:
            return None
        if held.until <= now:
            del self._held[slot]
            return None
        self._held.move_to_end(slot)
        return held

    def _keep(self, slot: Slot, held: Held) -> None:
        """A key by whose it is serves by its id too. What is unknown may come to be: it is not kept."""
        brand, _ = slot
        if held.state == "unknown":
            return
        for place in (slot, (brand, Wanted(ById(held.key_id)))):
            self._held[place] = held
            self._held.move_to_end(place)
        while len(self._held) > self._keys_max:
            self._held.popitem(last=False)
        KEYS.set(len(self._held))


def _held(leased: Leased, asked_at: float, good_for_s: float) -> Held:
    """Counted from the question, not from its answer: accounts counted from no earlier."""
    return Held(
        state=leased.state,
        key_id=leased.key_id,
        asked_at=asked_at,
        until=asked_at + good_for_s,
        cipher=AESGCM(leased.key) if leased.state == "live" else None,
        destroyed_at=leased.destroyed_at,
    )


def _is_back(held: Held, slot: Slot) -> bool:
    """Accounts has to be asked: it may make a new key for this."""
    happened_at = slot[1].happened_at
    return (
        held.state == "destroyed"
        and held.destroyed_at is not None
        and happened_at is not None
        and happened_at > held.destroyed_at
    )


def _once_each(brand: UUID, wanted: Sequence[Wanted]) -> list[Slot]:
    """Of the same person the newest moment: what is older is decided by whoever seals."""
    newest: dict[Wanted, Wanted] = {}
    for one in wanted:
        other = newest.get(one)
        if other is None or (one.happened_at or EPOCH) > (other.happened_at or EPOCH):
            newest[one] = one
    return [(brand, one) for one in newest.values()]


async def _all_of(tasks: set[Question]) -> dict[Slot, Held]:
    answers: dict[Slot, Held] = {}
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        answers.update(task.result())
    return answers


def _seen(task: Question) -> None:
    """A failure that nobody waits for any more is no news."""
    if not task.cancelled():
        task.exception()


def _by_id_of(slot: Slot, brand: UUID) -> bool:
    return slot[0] == brand and isinstance(slot[1].of, ById)
