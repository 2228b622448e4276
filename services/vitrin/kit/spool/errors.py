"""What a spool refuses. The first three reach a client: its door answers with them.

Unavailable (503)  SpoolFull, SpoolFailing
TooLarge (413)     RecordTooLarge
Exception          SpoolInUse, PositionGone, PositionUnknown
"""

from vitrin.kit.errors import TooLarge, Unavailable


class SpoolFull(Unavailable):
    """Nothing was taken. What is there waits for a consumer that does not keep up."""

    code, title = "spool_full", "The spool is full"
    fix = "Send it again later; nothing of it was taken."


class SpoolFailing(Unavailable):
    """The disk refused, or did not answer in time. It may have been taken after all: send it again, it is the same."""

    code, title = "spool_failing", "What was sent could not be made durable"
    fix = "Send it again in a few seconds."


class RecordTooLarge(TooLarge):
    code, title = "record_too_large", "A record is larger than the spool takes"


class SpoolInUse(Exception):
    """Another process has this spool; two writers would write over each other."""


class PositionGone(Exception):
    """What stood there was removed: it was covered, and older than the age that is kept."""

    def __init__(self, position: int, earliest: int) -> None:
        super().__init__(f"position {position} is gone; the earliest is {earliest}")
        self.position = position
        self.earliest = earliest


class PositionUnknown(Exception):
    """A position behind the end: it was given by another spool."""
