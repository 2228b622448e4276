"""The guard in front of addresses that a brand chose: no private network, bounded time and bodies (ADR 15)."""

from vitrin.kit.outbound.client import Outbound, OutboundAnswer, OutboundReply, Timeouts
from vitrin.kit.outbound.errors import (
    AddressNotPublic,
    AnswerBroken,
    AnswerTooLarge,
    AnswerTruncated,
    Crowded,
    NameUnresolved,
    OutboundFailure,
    RedirectRefused,
    TimedOut,
    TlsRefused,
    Unreachable,
    UrlRefused,
)
from vitrin.kit.outbound.policy import OutboundPolicy, check_url, shown
from vitrin.kit.outbound.settings import OutboundSettings

__all__ = [
    "AddressNotPublic",
    "AnswerBroken",
    "AnswerTooLarge",
    "AnswerTruncated",
    "Crowded",
    "NameUnresolved",
    "Outbound",
    "OutboundAnswer",
    "OutboundFailure",
    "OutboundPolicy",
    "OutboundReply",
    "OutboundSettings",
    "RedirectRefused",
    "TimedOut",
    "Timeouts",
    "TlsRefused",
    "Unreachable",
    "UrlRefused",
    "check_url",
    "shown",
]
