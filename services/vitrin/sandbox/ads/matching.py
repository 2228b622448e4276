"""Whom a network knows: a share of everybody, or exactly the people that a command named.

A network matches hashes, so a hash of an address that was not normalised matches nobody: with named people this is so
here too, since their hashes are made by the network's published rule and nothing else is known.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from vitrin.sandbox.effects import in_share

NOT_DIGITS = re.compile(r"[^0-9]+")
SEED = 7


@dataclass(slots=True)
class Matching:
    """``share`` of all hashes are known, always the same ones; with ``people`` these alone."""

    share: float
    people: set[str] = field(default_factory=set)

    def name(self, *, emails: Iterable[str], phones: Iterable[str]) -> int:
        """Make these people members of the network: the number of known hashes after."""
        for email in emails:
            self.people.add(_hash(email.strip().lower()))
        for phone in phones:
            self.people.add(_hash(NOT_DIGITS.sub("", phone).lstrip("0")))
        return len(self.people)

    def knows(self, values: Iterable[str]) -> bool:
        """Whether one of the hashes belongs to a member."""
        if self.people:
            return any(value in self.people for value in values)
        return any(in_share(value, share=self.share, seed=SEED) for value in values)


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
