"""The words of the timeline: the same for every platform, so that one explanation fits all."""

from collections.abc import Mapping
from typing import Final

from vitrin.shop_sync.domain.sync import Lane, Reason, State

PLATFORM_NAMES: Final[Mapping[str, str]] = {"meta": "Meta", "pinterest": "Pinterest", "tiktok": "TikTok"}

_STATE_SUMMARIES: Final[Mapping[State, str]] = {
    State.EXCLUDED: "Not shown on {platform}",
    State.INVALID: "Cannot be sent to {platform}",
    State.PENDING: "Waits to be sent to {platform}",
    State.SENT: "Sent to {platform}",
    State.UNKNOWN: "Sent to {platform}, but its answer was lost: looking at what is there",
    State.ACCEPTED: "{platform} accepted it",
    State.LIVE: "{platform} shows it",
    State.REJECTED: "{platform} refused it",
    State.REMOVED: "Removed from {platform}",
}

NOT_SHOWN_YET: Final = Reason(
    "not_shown_yet",
    "",
    "The platform accepted the item but does not show it yet.",
    "Nothing to do: Vitrin looks again by itself.",
)
LOST_ANSWER: Final = Reason(
    "outcome_unknown",
    "",
    "The call was sent but not answered.",
    "Nothing to do: Vitrin looks at what is there before it sends again.",
)
VERDICT_OVERDUE: Final = Reason(
    "verdict_overdue",
    "",
    "The platform took the batch but gave no verdict in time.",
    "Nothing to do: Vitrin looks at what is there before it sends again.",
)
NOT_THERE: Final = Reason(
    "not_arrived", "", "The platform does not show what was sent; it is sent again.", "Nothing to do."
)

CHANNEL_CLOSED: Final = Reason(
    "channel_closed",
    "",
    "The connection was deleted: this is the last that is known, and nothing is sent or looked at any more.",
    "Connect the platform again: that opens a new channel.",
)


def channel_stopped(reason: str) -> Reason:
    """Why an item that is not settled does not move: nothing is sent on its channel."""
    return Reason(
        "channel_needs_attention",
        "",
        f"Nothing is sent on this channel until somebody repairs its connection ({reason}).",
        "Give the connection a new token: `vitrin connection renew <id>`, or PATCH /v1/connections/{id} of accounts.",
    )


def platform_name(platform: str) -> str:
    return PLATFORM_NAMES.get(platform, platform)


def summary(state: State, *, platform: str, reasons: tuple[Reason, ...], lane: Lane | None = None) -> str:
    """One plain sentence: what happened, and the first cause."""
    text = _STATE_SUMMARIES[state].format(platform=platform_name(platform))
    if state is State.PENDING and lane is Lane.OFFER:
        text = f"New price or stock waits to be sent to {platform_name(platform)}"
    if not reasons:
        return text
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{text}: {reasons[0].message}{more}"
