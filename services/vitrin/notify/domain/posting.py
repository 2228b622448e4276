"""What one message to a channel came to, and how many a brand may have. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

MESSAGE_NOTICES_MAX: Final = 50
"""In one message; more go in another."""
RATE_WINDOW: Final = timedelta(hours=1)
CODES_PER_WINDOW: Final = 10
"""Codes go to addresses that nobody has confirmed: whoever adds addresses floods no stranger."""
CODE_DIGITS: Final = 8
CODE_KEEP: Final = timedelta(hours=24)
CODE_TRIES_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """`code`: sent, refused, unreachable, timed_out, tls_failed, login_refused, not_configured, not_readable, gone.
    `for_good`: the place does not exist any more. `retry_after`: what it asked for."""

    code: str
    detail: str = ""
    fix: str = ""
    status: int | None = None
    for_good: bool = False
    retry_after: timedelta | None = None

    @property
    def sent(self) -> bool:
        return self.code == "sent"


def free_at(sent_at: Sequence[datetime], *, limit: int, now: datetime) -> datetime | None:
    """None: one more message may go now. Else when the oldest that is in the way leaves the window. `sent_at`: of the
    last window, the oldest first."""
    recent = [at for at in sent_at if at > now - RATE_WINDOW]
    if len(recent) < limit:
        return None
    return recent[len(recent) - limit] + RATE_WINDOW


def slack_said(status: int, body: str) -> tuple[str, str, bool]:
    """Detail, fix, and whether the address is gone for good, of an answer of Slack's incoming webhooks that is no 2xx.
    (docs.slack.dev, "Sending messages using incoming webhooks", handling errors.)"""
    said = body.strip()[:200]
    detail = f"Slack answered {status}{f': {said}' if said else ''}."
    again = "Make a new incoming webhook in Slack and add it as a new channel."
    gone = {
        "no_service": "The incoming webhook was removed or switched off.",
        "no_service_id": "The incoming webhook was removed or switched off.",
        "invalid_token": "The incoming webhook's address is not valid any more.",
        "no_active_hooks": "The incoming webhook was switched off.",
        "no_team": "The workspace does not exist any more.",
        "team_disabled": "The workspace was closed.",
        "channel_is_archived": "The Slack channel was archived.",
        "channel_not_found": "The Slack channel does not exist any more.",
        "user_not_found": "The person it was for has left the workspace.",
    }
    if said in gone:
        return f"{detail} {gone[said]}", again, True
    if status in (404, 410):
        return detail, again, True
    if status == 429:
        return detail, "Nothing to do: Slack wants fewer messages, and it is tried again later.", False
    if status == 403:
        return detail, "Ask the workspace's administrator to allow this incoming webhook.", False
    if status >= 500:
        return detail, "Nothing to do: it is tried again for 24 hours.", False
    return detail, "Check the incoming webhook in Slack; it is tried again for 24 hours.", False
