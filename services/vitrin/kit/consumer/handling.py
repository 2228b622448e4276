"""A micro-batch meets a handler: which messages go to it, and what became of each.

Order per key: a message that has to wait holds back the later ones of its topic and key, and nobody else.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.exc import InterfaceError, OperationalError

from vitrin.events.envelope import InvalidMessage, Message, TryLater
from vitrin.kit.db.session import WriteSession
from vitrin.kit.logs import get_logger

Handler = Callable[[WriteSession, Sequence[Message]], Awaitable[None]]
QueueKey = tuple[str, str]
"""Topic and key: what must stay in order."""

BEHIND: Final = "behind an earlier message of its key"

log = get_logger(__name__)


@dataclass(slots=True)
class Sorted:
    """What became of the messages of one batch, each list in their order. With the reason where there is one."""

    done: list[Message] = field(default_factory=list)
    later: list[tuple[Message, str]] = field(default_factory=list)
    invalid: list[tuple[Message, str]] = field(default_factory=list)


def queue_key(message: Message) -> QueueKey:
    return message.topic, message.key


def queue_up(
    messages: Sequence[Message], blocked: set[QueueKey], named: Mapping[int, str]
) -> tuple[list[Message], list[tuple[Message, str]]]:
    """Those that may be handled now, and those that wait: named (reason by `id()`), or behind one that waits."""
    ready: list[Message] = []
    later: list[tuple[Message, str]] = []
    held = set(blocked)
    for message in messages:
        if queue_key(message) in held:
            later.append((message, BEHIND))
        elif id(message) in named:
            later.append((message, named[id(message)]))
            held.add(queue_key(message))
        else:
            ready.append(message)
    return ready, later


def names(later: TryLater, messages: Sequence[Message], known: Mapping[int, str]) -> dict[int, str]:
    """The messages of this batch that the handler names and that were not known to wait; empty: it names none."""
    mine = {id(message) for message in messages}
    return {id(one): later.reason for one in later.messages if id(one) in mine and id(one) not in known}


async def one_by_one(
    tx: WriteSession, handler: Handler, messages: Sequence[Message], *, group: str, blocked: set[QueueKey]
) -> Sorted:
    """A savepoint per message: what fails alone is told apart, the rest is done. Raises when the database is away."""
    found = Sorted()
    held = set(blocked)
    for message in messages:
        if queue_key(message) in held:
            found.later.append((message, BEHIND))
            continue
        try:
            async with tx.savepoint():
                await handler(tx, [message])
        except (OperationalError, InterfaceError):
            raise
        except TryLater as later:
            found.later.append((message, later.reason))
            held.add(queue_key(message))
        except InvalidMessage as invalid:
            found.invalid.append((message, invalid.reason))
        except Exception as error:
            first = not found.invalid
            log.error("message_failed", group=group, type=message.type, key=message.key, exc_info=first)
            found.invalid.append((message, f"{type(error).__name__}: {error}"))
        else:
            found.done.append(message)
    return found


async def all_or_one_by_one(
    tx: WriteSession, handler: Handler, messages: Sequence[Message], *, group: str
) -> Sorted:
    """Together under one savepoint where that works, without those that the handler names; else one by one."""
    named: dict[int, str] = {}
    while True:
        ready, later = queue_up(messages, set(), named)
        if not ready:
            return Sorted(later=later)
        try:
            async with tx.savepoint():
                await handler(tx, ready)
            return Sorted(done=ready, later=later)
        except (OperationalError, InterfaceError):
            raise
        except TryLater as wait:
            fresh = names(wait, ready, named)
            if not fresh:
                return await one_by_one(tx, handler, messages, group=group, blocked=set())
            named |= fresh
        except Exception:
            return await one_by_one(tx, handler, messages, group=group, blocked=set())
