"""How a transaction names the one thing that lies in a brand it does not know yet. See `kit.access.lookup`."""

from typing import Final

LOOKUP_INVITATION: Final = "app.lookup_invitation"
"""Only this invitation can be seen with it."""
LOOKUP_MEMBER: Final = "app.lookup_member"
"""Only the memberships of this person, and the brands they are in."""
