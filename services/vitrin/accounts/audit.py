"""The audit log: who did what to what, with the state before and after, in the transaction of the change."""

from datetime import datetime
from typing import Any

from vitrin.accounts import repository
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId, new_uuid

SECRET_COLUMNS = frozenset(
    {
        *("secret_hash", "token_key_id", "token_nonce", "token_ciphertext"),
        *("secret_key_id", "secret_nonce", "secret_ciphertext"),
    }
)


def public_state(row: Any | None, hidden: frozenset[str] = frozenset()) -> dict[str, Any] | None:
    """The row as JSON, without what is secret."""
    if row is None:
        return None
    return {
        name: value.isoformat()
        if isinstance(value, datetime)
        else value
        if isinstance(value, (bool, int, str, list, dict, type(None)))
        else str(value)
        for name, value in row._mapping.items()
        if name not in SECRET_COLUMNS and name not in hidden
    }


async def record(
    tx: WriteSession,
    *,
    brand_id: BrandId,
    at: datetime,
    actor: str,
    action: str,
    subject: str,
    before: Any | None,
    after: Any | None,
    hidden: frozenset[str] = frozenset(),
) -> None:
    """`hidden`: columns with personal data, which nobody could erase here."""
    row = {
        "audit_id": new_uuid(),
        "brand_id": brand_id,
        "at": at,
        "actor": actor,
        "action": action,
        "subject": subject,
        "before": public_state(before, hidden),
        "after": public_state(after, hidden),
    }
    await repository.insert_audit(tx, row)
