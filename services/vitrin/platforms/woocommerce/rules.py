"""What WooCommerce allows and asks for, as data. Sources: the REST API documentation (v3) and WooCommerce's own code of
`WC_Webhook`, unless marked unverified."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from vitrin.kit.http_client import Rate

NAME: Final = "woocommerce"
STORE: Final = "store"
API_PATH: Final = "/wp-json/wc/v3"
TOPICS: Final = (
    "product.created",
    "product.updated",
    "product.deleted",
    "product.restored",
    "order.created",
    "order.updated",
    "order.deleted",
    "order.restored",
)
GIVES_UP_AFTER_S: Final = 60.0
"""A delivery is not repeated; after more than 5 failures in a row the webhook is disabled."""

REST: Final = Rate(endpoint="rest", calls=300, per_s=60.0)
"""WooCommerce has no limit of its own; small hosts do not bear more than these, four at once (chosen by us)."""
CONCURRENCY_MAX: Final = 4
PAGE_MAX: Final = 100
LOAD_PAGE: Final = 50
"""Products of one page of a load; a variable one costs another call or more for its variations."""
PAGES_MAX: Final = 1_000
STORE_CHARS_MAX: Final = 255
_HOST: Final = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_KEY: Final = re.compile(r"ck_[0-9A-Za-z]{1,64}:cs_[0-9A-Za-z]{1,64}")
_RIGHT: Final = "Write the store's address as in https://shop.example or https://shop.example/store."


def external_id_problem(name: str, value: str) -> str | None:
    """A store is called with its keys: only by TLS, and only by a public name, so that its certificate proves it."""
    if name != STORE:
        return f"WooCommerce has no external id {name!r}."
    if len(value) > STORE_CHARS_MAX:
        return f"An address has at most {STORE_CHARS_MAX} characters. {_RIGHT}"
    try:
        parts = urlsplit(value)
    except ValueError:
        return _RIGHT
    if parts.scheme != "https" or not value.startswith("https://"):
        return f"Keys travel by https only. {_RIGHT}"
    if not _HOST.fullmatch(parts.netloc) or not _PATH.fullmatch(parts.path):
        return f"No port, user, number as host, query or slash at the end; lower-case host. {_RIGHT}"
    if value != f"https://{parts.netloc}{parts.path}" or ".." in parts.path:
        return f"Nothing behind the path. {_RIGHT}"
    return None


def base_url(external_ids: Mapping[str, str]) -> str:
    return external_ids[STORE]


def is_key(token: str) -> bool:
    return _KEY.fullmatch(token) is not None
