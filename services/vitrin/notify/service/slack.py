"""Slack by an incoming webhook, through the outbound guard. Others that speak the same (Mattermost) work too."""

from typing import Final

import orjson

from vitrin.notify.domain.posting import Posted, slack_said
from vitrin.notify.service.calling import Caller
from vitrin.notify.service.wording import Letter

TEXT_MAX: Final = 3_500
"""Slack cuts texts at 4,000 characters."""


class SlackPoster:
    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def send(self, url: str, letter: Letter) -> Posted:
        said = f"*{_escaped(letter.title)}*\n{_escaped(letter.text)}"
        if len(said) > TEXT_MAX:
            said = (
                said[:TEXT_MAX].rpartition("\n")[0] + "\n... the rest is in the inbox: GET /v1/notifications"
            )
        answer = await self._caller.call(url, headers={}, body=orjson.dumps({"text": said}))
        if answer.delivered:
            return Posted(code="sent", status=answer.status)
        if answer.status is None:
            return Posted(code=answer.code, detail=answer.detail.replace(url, "the address")[:500], fix="")
        detail, fix, for_good = slack_said(answer.status, answer.excerpt)
        return Posted(
            code="gone" if for_good else "refused",
            status=answer.status,
            detail=detail,
            fix=fix,
            for_good=for_good,
            retry_after=answer.retry_after,
        )


def _escaped(text: str) -> str:
    """Slack reads &, < and > as markup: a title must not mention a whole channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
