"""The words of the timeline: the same for every platform, so that one explanation fits all."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from vitrin.shop_sync.domain.guard import HELD_CODE, REJECTED_CODE, Kind
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
    State.HELD: "{platform} goes on showing it",
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

SOLD_OUT: Final = Reason(
    "sold_out", "availability", "The item is sold out in the shop.", "Restock it, or approve the request."
)


def removal_held(request_id: UUID, kind: Kind) -> Reason:
    """Why an item is still shown although the shop wants it gone, or sold out."""
    what = "taken down" if kind is Kind.REMOVAL else "marked as sold out"
    return Reason(
        HELD_CODE,
        "",
        f"It would be {what}, but more items than the brand allows would leave the channel within an hour: this waits"
        f" for an approval (request {request_id}).",
        f"Approve or reject it: POST /v1/removals/{request_id}:approve or :reject with an approver's key.",
    )


REMOVAL_REJECTED: Final = Reason(
    REJECTED_CODE,
    "",
    "The shop wanted it taken down or marked as sold out, and an approver rejected that: it stays as it is shown.",
    "Change the item in the shop: its next change is followed.",
)


def batch_refused(items: int, cause: str) -> Reason:
    """Why an item waits that was in a batch which the platform refused without naming anybody."""
    return Reason(
        "batch_refused",
        "",
        f"The platform refused a batch of {items:,} items and named none: looking for the culprit. It said: {cause}",
        "Nothing to do: Vitrin halves the batch until the culprit is named, and sends the others again.",
    )


def channel_stopped(reason: str) -> Reason:
    """Why an item that is not settled does not move: nothing is sent on its channel."""
    return Reason(
        "channel_needs_attention",
        "",
        f"Nothing is sent on this channel until somebody repairs its connection ({reason}).",
        "Give the connection a new token: `vitrin connection renew <id>`, or PATCH /v1/connections/{id} of accounts.",
    )


def channel_paused(by: str, reason: str) -> Reason:
    """Why an item that is not settled does not move: somebody paused its channel."""
    return Reason(
        "channel_paused",
        "",
        f"The channel is paused by {by}{f': {reason}' if reason else ''}. Changes are kept.",
        "Resume it: POST /v1/channels/{id}:resume, or `vitrin resume --channel <id>`.",
    )


_SCOPE_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "house": ("of this Vitrin", "Ask whoever runs this Vitrin: `vitrin resume --house`."),
    "brand": ("of the brand", "POST /v1/outgoing:resume of accounts, or `vitrin resume --brand`."),
    "platform": (
        "of the brand on this platform",
        "POST /v1/outgoing:resume of accounts with the platform, or `vitrin resume --platform <name>`.",
    ),
}


def outgoing_stopped(scope: str, by: str, reason: str) -> Reason:
    """Why an item that is not settled does not move: a switch stopped everything outgoing."""
    whose, fix = _SCOPE_WORDS[scope]
    return Reason(
        "outgoing_stopped",
        "",
        f"Everything outgoing {whose} was stopped by {by}{f': {reason}' if reason else ''}. Changes are kept.",
        fix,
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
