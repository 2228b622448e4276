"""When what does not move needs a person of the brand. Pure."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from vitrin.kit.attention import Concern
from vitrin.shop_sync.domain.stuck import REPAIRABLE, Cause, Finding, Standing
from vitrin.shop_sync.domain.words import platform_name

CHANNEL_STUCK: Final = "channel.stuck"


def channel_stuck(standing: Standing, found: Iterable[Finding], *, after: timedelta) -> Concern | None:
    """None: it moves, waits its turn, or the watchdog has just set it going again."""
    held = [one for one in found if one.cause is not Cause.QUEUED and one.cause not in REPAIRABLE]
    count = sum(one.count for one in held)
    if not count:
        return None
    platform, minutes = platform_name(standing.platform), round(after.total_seconds() / 60)
    if any(one.cause is Cause.PLATFORM for one in held):
        detail = f"{platform} fails or refuses calls. Vitrin goes on trying, and no change is lost."
        fix = f"See what {platform} says in the channel's last calls; nothing has to be sent again."
    else:
        detail = "No worker carries them out. No change is lost; they go when a worker does."
        fix = "Tell the operators of this server: shop_sync's workers are missing, too few, or hang."
    return Concern(
        kind=CHANNEL_STUCK,
        cause=str(standing.channel_id),
        severity="warning",
        title=f"Changes for {platform} have not moved for more than {minutes} minutes",
        detail=f"{count} {'thing waits' if count == 1 else 'things wait'}. {detail}",
        fix=fix,
        subject=f"channel:{standing.channel_id}",
        look_at=f"/v1/channels/{standing.channel_id}",
    )
