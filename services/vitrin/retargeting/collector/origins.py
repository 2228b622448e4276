"""From which pages a publishable key may be used."""

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

ORIGINS_MAX: Final = 100
ORIGIN_CHARS_MAX: Final = 255
NULL: Final = "null"
"""What a browser says of a sandboxed frame, such as Shopify's custom pixel."""
_HOST: Final = re.compile(
    r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?"
)


def normal(text: str) -> str | None:
    """As browsers send it: scheme and host in lower case, no default port. None: it is no origin."""
    text = text.strip().lower()
    if text == NULL:
        return NULL
    if len(text) > ORIGIN_CHARS_MAX:
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or parts.path not in ("", "/"):
        return None
    if parts.query or parts.fragment or parts.username is not None:
        return None
    if host.startswith("*.") and host.count(".") < 2:
        return None
    if port is None or port == {"http": 80, "https": 443}[parts.scheme]:
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{port}"


def of_storefront(url: str) -> str | None:
    """The origin of a brand's storefront; None where it has no usable address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return normal(f"{parts.scheme}://{parts.netloc}") if parts.netloc else None


def allows(origins: Collection[str], origin: str) -> bool:
    """`origin`: the header as it came. A wildcard stands for one or more labels in front."""
    if origin in origins:
        return True
    asked = normal(origin)
    if asked is None:
        return False
    if asked in origins:
        return True
    scheme, _, host = asked.partition("://")
    labels = host.split(".")
    return any(f"{scheme}://*.{'.'.join(labels[cut:])}" in origins for cut in range(1, len(labels)))
