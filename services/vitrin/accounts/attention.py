"""What accounts says that needs a person: a token that ends soon and that nobody renews."""

from typing import Any, Final

from vitrin.accounts.kinds import KINDS
from vitrin.kit.attention import Concern

TYPE: Final = "accounts.attention_changed"
TOKEN_ENDING: Final = "connection.token_ending"  # noqa: S105
AUTOMATIC: Final = "automatic"
_WHY: Final = {
    "failing": "It should be renewed by itself, but the platform refuses that or does not answer.",
    "by_consent": "The platform renews it only when somebody consents again.",
    "by_hand": "It was given by hand, so nobody renews it.",
}


def token_ending(row: Any) -> Concern:
    """`row`: connection, platform, end and renewal, as `repository_oauth.ending_soon` reads them."""
    title = KINDS[row.platform].title if row.platform in KINDS else row.platform
    connection = str(row.connection_id)
    fix = f"Connect {title} again: vitrin connect {row.platform} --connection {connection}"
    if row.renewal == "by_hand":
        fix = f"Give the connection a new token: PATCH /v1/connections/{connection}"
    return Concern(
        kind=TOKEN_ENDING,
        cause=connection,
        severity="warning",
        title=f"The token of {title} ends on {row.expires_at:%Y-%m-%d %H:%M} UTC and is not renewed",
        detail=f"{_WHY[row.renewal]} From then on nothing reaches {title}; changes are kept until it works again.",
        fix=fix,
        subject=f"connection:{connection}",
        look_at=f"/v1/connections/{connection}",
    )
