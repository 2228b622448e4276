"""Secrets of a local Vitrin: generated once, kept in `var/secrets.json`, readable by their owner only."""

import base64
import os
import secrets as random
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from vitrin.cli.settings import Var, read_json, write_private_json

TOKEN_BYTES = 32
KEY_BYTES = 32  # AES-256


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """`token_keys` is the key ring of accounts, `webhook_keys` that of notify, `spool_keys` that of the spool of
    catalog, `event_keys` that of the spool of retargeting: `kid:base64`, the first is current."""

    service_token: str
    operator_token: str
    token_keys: str
    webhook_keys: str
    spool_keys: str
    event_keys: str


def load_secrets(var: Var, environment: Mapping[str, str] | None = None) -> Secrets:
    """Those of the environment, else the stored ones, else fresh ones that are stored."""
    given = os.environ if environment is None else environment
    stored = read_json(var.secrets)
    fresh = {
        "service_token": random.token_urlsafe(TOKEN_BYTES),
        "operator_token": random.token_urlsafe(TOKEN_BYTES),
        "token_keys": _key_ring(),
        "webhook_keys": _key_ring(),
        "spool_keys": _key_ring(),
        "event_keys": _key_ring(),
    }
    kept = Secrets(**{name: str(stored.get(name) or value) for name, value in fresh.items()})
    if asdict(kept) != stored:
        write_private_json(var.secrets, asdict(kept))
    return Secrets(
        service_token=given.get("VITRIN_SERVICE_TOKEN") or kept.service_token,
        operator_token=given.get("VITRIN_OPERATOR_TOKEN") or kept.operator_token,
        token_keys=given.get("ACCOUNTS_TOKEN_KEYS") or kept.token_keys,
        webhook_keys=given.get("NOTIFY_SECRET_KEYS") or kept.webhook_keys,
        spool_keys=given.get("CATALOG_SPOOL_KEYS") or kept.spool_keys,
        event_keys=given.get("RETARGETING_SPOOL_KEYS") or kept.event_keys,
    )


def _key_ring() -> str:
    return "local1:" + base64.b64encode(random.token_bytes(KEY_BYTES)).decode()
