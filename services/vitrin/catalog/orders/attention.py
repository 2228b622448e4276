"""What catalog says of privacy requests to a person: what was asked, and until when it has to be done."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from vitrin.kit.attention import Attentions, Concern, Severity
from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId

PRIVACY_ASKED: Final = "privacy.asked"
URGENT: Final = timedelta(days=7)
"""An export that is due so soon is said again every day."""
_TITLES: Final[Mapping[str, str]] = {
    "export": "A customer of {shop} wants their data",
    "erase": "A customer of {shop} was erased",
    "shop_erase": "The orders of {shop} are being erased",
}
_DETAILS: Final[Mapping[str, str]] = {
    "export": "Give the customer what is known of them by {due}.",
    "erase": "Here their keys are destroyed. Erase what you hold of them elsewhere (exports, other systems) by {due}.",
    "shop_erase": "The app was removed 48 hours ago. Erase what you hold of its customers elsewhere by {due}.",
}
_FIXES: Final[Mapping[str, str]] = {
    "export": "vitrin privacy show {id} has the data; then vitrin privacy answered {id}.",
    "erase": "vitrin privacy show {id} has the receipt; then vitrin privacy answered {id}.",
    "shop_erase": "vitrin privacy show {id} has the receipt; then vitrin privacy answered {id}.",
}


class PrivacyNotices:
    def __init__(self, clock: Clock) -> None:
        self._attentions = Attentions("catalog.attention_changed", clock)
        self._clock = clock

    async def asked(
        self, tx: WriteSession, brand: BrandId, request: UUID, *, kind: str, shop: str, due_at: datetime
    ) -> None:
        """Said once; again every day while it is urgent and somebody calls this."""
        left = due_at - self._clock()
        severity: Severity = "critical" if kind == "export" and left < URGENT else "warning"
        due = f"{due_at:%d %B %Y}"
        concern = Concern(
            kind=PRIVACY_ASKED,
            cause=str(request),
            severity=severity,
            title=_TITLES[kind].format(shop=shop),
            detail=_DETAILS[kind].format(due=due),
            fix=_FIXES[kind].format(id=request),
            subject=f"privacy_request:{request}",
            look_at=f"/v1/privacy_requests/{request}",
        )
        await self._attentions.open(tx, brand, concern)

    async def over(self, tx: WriteSession, brand: BrandId, *requests: UUID) -> None:
        await self._attentions.resolve(tx, brand, PRIVACY_ASKED, [str(one) for one in requests])
