"""Signatures and secrets of Standard Webhooks (standardwebhooks.com, specification 1.0.0).

The signature is HMAC-SHA256 over `id.timestamp.body` with the bytes behind `whsec_`, as `v1,<base64>`. While several
secrets are valid there is one signature for each, separated by spaces: the receiver takes any that it knows.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105
SECRET_BYTES: Final = 32
"""The specification wants 24 to 64."""


def secret_text(random: bytes) -> str:
    """The secret as its owner copies it, from SECRET_BYTES random bytes."""
    return SECRET_PREFIX + base64.b64encode(random).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`timestamp`: seconds since 1970. ValueError when the secret is none."""
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"a secret begins with {SECRET_PREFIX}")
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers; `timestamp` is that of the attempt, so that a receiver can refuse old ones."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, message_id, timestamp, body) for secret in secrets),
    }
