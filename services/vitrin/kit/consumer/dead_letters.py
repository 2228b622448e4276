"""How many messages a group may give up before it stops instead."""

from datetime import timedelta
from typing import Final

from vitrin.kit.clock import Clock
from vitrin.kit.consumer import store
from vitrin.kit.db.session import ReadSession
from vitrin.kit.metrics import counter

DEAD_LETTERS_MAX: Final = 100
DEAD_LETTER_WINDOW: Final = timedelta(hours=1)

MESSAGES = counter("vitrin_consumer_messages_total", "Messages by group and outcome", ["group", "outcome"])


class DeadLetterLimit(Exception):
    """More messages than the limit allows would go to the dead letters."""


class Burial:
    """The limit of one group."""

    def __init__(self, *, group: str, clock: Clock) -> None:
        self.group = group
        self._clock = clock

    async def room(self, session: ReadSession, letters: int) -> None:
        """Raises DeadLetterLimit when there is no room for so many more."""
        if not letters:
            return
        since = self._clock() - DEAD_LETTER_WINDOW
        buried = await store.buried_since(session, group=self.group, since=since)
        if buried + letters > DEAD_LETTERS_MAX:
            raise DeadLetterLimit(f"{buried + letters} dead letters within {DEAD_LETTER_WINDOW}")

    def count(self, letters: int) -> None:
        """After the commit."""
        MESSAGES.labels(group=self.group, outcome="dead_letter").inc(letters)
