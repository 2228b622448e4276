"""What sealing refuses.

Unavailable (503)  SealUnavailable   accounts does not answer, and this process does not hold the key
Refused (400)      SealRefused       accounts refuses: the brand is gone, the day is over, too much at once
Exception          SealCannotOpen    changed bytes, another brand or context, a key that the brand never had
                     SealKeyUnknown  of a spool: its key is not in the ring; with the right ring it can be opened
"""

from vitrin.kit.errors import Refused, Unavailable


class SealUnavailable(Unavailable):
    """Nothing was sealed or opened; the same again later is right."""

    code, title = "seal_unavailable", "The keys of personal data cannot be had at the moment"
    fix = "Try again in a few seconds. If it lasts: does accounts run, and is VITRIN_ACCOUNTS_GRPC right?"


class SealRefused(Refused):
    code, title = "seal_refused", "Accounts gives no key of personal data for this"


class SealCannotOpen(Exception):
    """Never mends itself: the sealed bytes do not belong here, or were changed. Holds nothing of what they hide."""


class SealKeyUnknown(SealCannotOpen):
    """The ring of the service lacks the key: put it back, nothing is lost."""
