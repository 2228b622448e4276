"""A clean stop: wait until every consumer has read what was sent, and tell each producer so (ADR 7).

Per service: an answer of `/v1/ops/spine` with no unsent rows names a moment and the ends of its topics then. Once every
group that topics.yaml has for these topics stands at or after those ends, the moment becomes the service's marker: on
the next incarnation of a topic only what was sent later is sent again. Changes that go on meanwhile are later.
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


async def drain(specs: Sequence[TopicSpec], *, look: Look, mark: Mark, wait_s: float = WAIT_S) -> Drained:
    """At most `wait_s`, then what is not drained by then stays without a new marker."""
    producers = sorted({spec.producer for spec in specs})
    services = sorted({*producers, *(name for spec in specs for name in spec.consumers)})
    candidates: dict[str, Answer] = {}
    marked: set[str] = set()
    reasons: dict[str, str] = {}
    loop = asyncio.get_running_loop()
    end_s = loop.time() + wait_s
    while True:
        answers = dict(zip(services, await asyncio.gather(*map(_asked(look), services)), strict=True))
        for name in set(producers) - marked:
            mine = [spec for spec in specs if spec.producer == name]
            if name not in candidates and not (reason := _busy(answers[name])):
                candidates[name] = answers[name]
            elif name not in candidates:
                reasons[name] = reason
                continue
            reason = behind(mine, candidates[name]["ends"], answers)
            if reason:
                reasons[name] = reason
                continue
            try:
                await mark(name, candidates[name]["at"])
            except OSError as error:
                reasons[name] = str(error)
                continue
            marked.add(name)
            reasons.pop(name, None)
        if marked >= set(producers) or loop.time() >= end_s:
            return Drained(frozenset(marked), reasons)
        await asyncio.sleep(POLL_S)


def _asked(look: Look) -> Look:
    async def ask(service: str) -> Answer:
        try:
            return await look(service)
        except OSError as error:
            return {"silent": str(error)}

    return ask


def _busy(answer: Answer) -> str:
    """Why a producer's answer is no moment to remember; empty when it is one."""
    if "silent" in answer:
        return str(answer["silent"])
    if answer["unsent"]:
        return f"{answer['unsent']} rows of its outbox are not sent"
    if answer["unsettled"]:
        return f"not settled with the broker: {', '.join(answer['unsettled'])}"
    return ""


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
