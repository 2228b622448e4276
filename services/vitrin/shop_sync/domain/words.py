"""The words of the timeline: the same for every platform, so that one explanation fits all."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from vitrin.shop_sync.domain.adoption import Doubt, How
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
ACCEPTED_NOT_SHOWN: Final = Reason(
    "accepted_not_shown",
    "",
    "The platform accepted the item again and again, but does not show it.",
    "Look for the item in the platform's own catalog pages and ask its support; any change of it is sent again. Vitrin"
    " goes on looking every hour.",
)
STILL_SHOWN: Final = Reason(
    "still_shown",
    "",
    "The platform accepted the removal again and again, but goes on showing the item.",
    "Delete the item in the platform's own catalog pages and ask its support. Vitrin goes on looking every hour.",
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


def sent_again(time: int, times: int) -> Reason:
    """Why something waits that the platform had accepted."""
    return Reason(
        "sent_again",
        "",
        f"The platform accepted this, but a look did not show it: it is sent again ({time} of at most {times}).",
        "Nothing to do.",
    )


SHOWN_DIFFERENTLY: Final = "shown_differently"


def shown_differently(differences: Sequence[tuple[str, str, str]]) -> Reason:
    """(field, sent, shown) each."""
    shown = "; ".join(f"{name}: sent {sent!r}, shown {seen!r}" for name, sent, seen in differences[:3])
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    return Reason(
        SHOWN_DIFFERENTLY,
        ",".join(name for name, _, _ in differences),
        f"The platform accepted the item again and again, but shows it in another form ({shown}{more}).",
        "Somebody or a rule of the platform may change it there: look at the item in its catalog pages. Any change of"
        " it is sent again.",
    )


def refused_without_words(times: int) -> Reason:
    """The last word about an item that was failed alone, and nobody said why."""
    return Reason(
        "platform_refused",
        "",
        f"The platform refused the item, also {times} times alone, and gave no reason.",
        "Look at the item in the platform's own catalog pages; any change of it is sent again.",
    )


FAILED_WITHOUT_WORDS: Final = Reason(
    "failed_without_words",
    "",
    "It failed the batch and gave no reason.",
    "Nothing to do: Vitrin sends smaller batches until the culprit is alone.",
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


AMBIGUOUS_CODE: Final = "adoption_ambiguous"
_SAME_WORDS: Final[Mapping[How, str]] = {
    How.ID: "its id",
    How.GTIN: "its GTIN",
    How.LINK: "its link",
    How.CHOICE: "a person's choice",
}
_NAMED_MAX: Final = 5


def adopted(platform: str, platform_item_id: str, how: How) -> str:
    """The line of the timeline."""
    return (
        f"Took over the item {platform_item_id!r} that {platform_name(platform)} held already,"
        f" found by {_SAME_WORDS[how]}"
    )


def adoption_ambiguous(doubt: Doubt) -> Reason:
    """Why an item of ours is not sent: the platform may hold it already, under an id that nobody can be sure of."""
    ours, theirs = len(doubt.item_ids), len(doubt.platform_item_ids)
    return Reason(
        AMBIGUOUS_CODE,
        "gtin" if doubt.how is How.GTIN else "link",
        f"The catalog held {theirs} items ({_named(doubt.platform_item_ids)}) before, and {ours} of yours"
        f" ({_named(doubt.item_ids)}) have the same {_KEY_WORDS[doubt.how]}: which is which is not guessed.",
        "Decide it: POST /v1/channels/{id}/adoption:resolve with a match, or leave the platform's items alone"
        " (`vitrin adoption resolve`).",
    )


def platform_item_ambiguous(doubt: Doubt) -> Reason:
    """The same, said of the platform's item."""
    return Reason(
        AMBIGUOUS_CODE,
        "gtin" if doubt.how is How.GTIN else "link",
        f"It shares its {_KEY_WORDS[doubt.how]} with {_named(doubt.item_ids)} of yours, and is not alone with that.",
        "Match it with one of them, or leave it: POST /v1/channels/{id}/adoption:resolve.",
    )


_KEY_WORDS: Final[Mapping[How, str]] = {How.GTIN: "GTIN", How.LINK: "link"}


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED_MAX} more" if len(ids) > _NAMED_MAX else ""
    return ", ".join(ids[:_NAMED_MAX]) + more


TAKING_STOCK: Final = Reason(
    "taking_stock",
    "",
    "It is not known yet what the platform's catalog held before: nothing is sent, so that nothing is doubled.",
    "Nothing to do as long as GET /v1/channels/{id}/adoption gets on; it says why if it does not, and adoption:skip"
    " sends without knowing.",
)
NOT_IN_SHOP: Final = Reason(
    "not_in_shop",
    "",
    "It was in the platform's catalog before, and no item of the shop is the same.",
    "Approve its removal, or reject it and it stays.",
)
REMOVAL_FAILED: Final = Reason(
    "removal_failed",
    "",
    "Its removal was approved and sent again and again, but the platform goes on showing it.",
    "Delete it in the platform's own catalog pages, or ask for its removal again.",
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
