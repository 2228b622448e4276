"""The scopes that a key may have. A publishable key has `events:write` and nothing else."""

from typing import Final

SCOPES: Final = frozenset(
    {
        "accounts:read",
        "accounts:write",
        "catalog:read",
        "catalog:write",
        "sync:read",
        "sync:write",
        "sync:approve",
        "events:read",
        "events:write",
        "webhooks:read",
        "webhooks:write",
        "notifications:read",
        "notifications:write",
    }
)
PUBLISHABLE_SCOPES: Final = frozenset({"events:write"})
