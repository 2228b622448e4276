"""A clean stop: wait until every consumer has read what was sent, and tell each producer so (ADR 7).

Per producer, with the answers of `/v1/ops/spine`:

1. An answer names a moment, and the last row that was unsent then. Whatever was sent by that moment was marked before
   the answer, or is among these rows.
2. An answer without any of them gives the ends of its topics, in incarnations that the broker confirms.
3. When every group that topics.yaml has for these topics stands at or after these ends, the moment becomes the marker.

Changes that go on meanwhile are sent later than the moment, and are sent again on the next incarnation.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vitrin.kit.kafka.declared import TopicSpec

WAIT_S: Final = 10.0
POLL_S: Final = 0.1

Answer = Mapping[str, Any]
Look = Callable[[str], Awaitable[Answer]]
"""GET /v1/ops/spine of a service. OSError when it does not answer as it should."""
Mark = Callable[[str, str], Awaitable[None]]
"""POST /v1/ops/spine/marker of a service with the moment. OSError."""


@dataclass(frozen=True, slots=True)
class Drained:
    """The services whose marker was set, and why the others have none."""

    marked: frozenset[str]
    reasons: Mapping[str, str]


@dataclass(slots=True)
class _Producer:
    """How far one producer is: its moment, and the ends that the consumers have to reach."""

    specs: Sequence[TopicSpec]
    at: str | None = None
    unsent_last: int = 0
    ends: Sequence[Mapping[str, Any]] | None = None

    def hear(self, answer: Answer, answers: Mapping[str, Answer]) -> str:
        """Why it is not drained; empty when it is."""
        if "silent" in answer:
            return str(answer["silent"])
        if self.at is None:
            self.at, self.unsent_last = answer["at"], answer["unsent_last"] or 0
        if self.ends is None:
            if answer["unsent"] and answer["unsent_first"] <= self.unsent_last:
                return f"{answer['unsent']} rows of its outbox are not sent"
            if answer["unsettled"]:
                return f"not settled with the broker: {', '.join(answer['unsettled'])}"
            self.ends = answer["ends"]
        return behind(self.specs, self.ends, answers)


async def drain(specs: Sequence[TopicSpec], *, look: Look, mark: Mark, wait_s: float = WAIT_S) -> Drained:
    """At most `wait_s`, then what is not drained by then stays without a new marker."""
    waiting = {
        name: _Producer([spec for spec in specs if spec.producer == name])
        for name in sorted({spec.producer for spec in specs})
    }
    services = sorted({*waiting, *(name for spec in specs for name in spec.consumers)})
    marked: set[str] = set()
    loop = asyncio.get_running_loop()
    end_s = loop.time() + wait_s
    while True:
        answers = dict(zip(services, await asyncio.gather(*map(_asked(look), services)), strict=True))
        reasons = {name: producer.hear(answers[name], answers) for name, producer in waiting.items()}
        for name, producer in list(waiting.items()):
            if reasons[name] or producer.at is None:
                continue
            try:
                await mark(name, producer.at)
            except OSError as error:
                reasons[name] = str(error)
                continue
            marked.add(name)
            del waiting[name], reasons[name]
        if not waiting or loop.time() >= end_s:
            return Drained(frozenset(marked), reasons)
        await asyncio.sleep(POLL_S)


def _asked(look: Look) -> Look:
    async def ask(service: str) -> Answer:
        try:
            return await look(service)
        except OSError as error:
            return {"silent": str(error)}

    return ask


def behind(
    specs: Iterable[TopicSpec], ends: Iterable[Mapping[str, Any]], answers: Mapping[str, Answer]
) -> str:
    """Which consumer has not read up to the ends; empty when all have. Every consumer that is declared must be there
    with a position: one that says nothing has read nothing."""
    consumers = {spec.name: spec.consumers for spec in specs}
    for end in ends:
        if not end["next_offset"]:
            continue
        for service in consumers.get(end["topic"], ()):
            answer = answers[service]
            if "silent" in answer:
                return str(answer["silent"])
            stand = {
                place["group"]: place["next_offset"]
                for place in answer["positions"]
                if all(place[name] == end[name] for name in ("topic", "topic_id", "partition"))
            }
            groups = {s["group"] for s in answer["snapshots"] if s["topic"] == end["topic"]} | stand.keys()
            late = sorted(group for group in groups if stand.get(group, 0) < end["next_offset"])
            if late or not groups:
                return (
                    f"{', '.join(late) or service} has not read {end['topic']}/{end['partition']} to its end"
                )
    return ""
