"""Where browsers tell the networks of events: Meta's ``/tr`` and Pinterest's ``/v3/``.

Both answer everybody with a picture of one point, whatever they were told, and count only what they understand.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson

from vitrin.sandbox.accounts import Account
from vitrin.sandbox.ads.conversions import BROWSER
from vitrin.sandbox.fault_kinds import OTHER
from vitrin.sandbox.wire import Call, Platform, Reply

GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
HEADERS = {"content-type": "image/gif", "cache-control": "no-store", "access-control-allow-origin": "*"}
HASH = re.compile(r"[a-f0-9]{64}")

Read = Callable[[Mapping[str, str], int], dict[str, Any] | None]


class PixelDoor:
    """One network's address for browsers. Its calls are in the log under the network's name."""

    def __init__(self, platform: Platform, *, host: str, read: Read) -> None:
        self.name = platform.name
        self.host = host
        self.body_bytes_max = 65_536
        self._platform = platform
        self._read = read

    def handle(self, call: Call) -> Reply:
        """Take the event of a call."""
        params = {**call.query, **(call.form or {})}
        event = self._read(params, call.received_ms)
        reply = Reply(200, GIF, dict(HEADERS), outcome="ok" if event else "refused")
        if event is not None:
            effects = call.effects
            self._platform.ads.conversions.take([event], no_match=effects.match_share is not None)
            reply.item_ids, reply.accepted_count = [event["event_id"]], 1
        return reply

    def named_error(self, name: str, call: Call) -> Reply | None:
        """See ``Door``."""
        return Reply(503, None, outcome="error")

    def error_names(self) -> Sequence[str]:
        """See ``Door``: the network's, since faults name networks."""
        return self._platform.error_names()

    def throttle_codes(self) -> Sequence[int]:
        """See ``Door``."""
        return self._platform.throttle_codes()

    def throttled(self, call: Call, *, code: int | None, regain_s: int) -> Reply:
        """See ``Door``."""
        return Reply(429, None, outcome="throttled")

    def batch_refused(self, call: Call) -> Reply:
        """See ``Door``."""
        return Reply(400, None, outcome="refused")

    def endpoint_of(self, call: Call) -> str:
        """See ``Door``."""
        return OTHER

    def items_of(self, call: Call) -> Sequence[str]:
        """See ``Door``."""
        return ()

    def account_of(self, call: Call) -> Account | None:
        """See ``Door``: browsers have no token."""
        return None


def meta_event(params: Mapping[str, str], now_ms: int) -> dict[str, Any] | None:
    """``/tr?id=..&ev=..&eid=..&cd[value]=..``; None where id or name is missing."""
    if not params.get("id") or not params.get("ev"):
        return None
    advanced = [hashed(params[name]) for name in ("ud[em]", "ud[ph]") if params.get(name)]
    return {
        "source_id": params["id"],
        "way": BROWSER,
        "name": params["ev"],
        "event_id": params.get("eid", ""),
        "event_ms": _time(params.get("ts"), now_ms),
        "order_id": params.get("cd[order_id]", ""),
        "value": params.get("cd[value]", ""),
        "currency": params.get("cd[currency]", ""),
        "action_source": "website",
        "keys": [*advanced, *(params[name] for name in ("fbp", "fbc") if params.get(name))],
        "has_email": bool(params.get("ud[em]")),
        "body": {"dl": params.get("dl", "")},
    }


def pinterest_event(params: Mapping[str, str], now_ms: int) -> dict[str, Any] | None:
    """``/v3/?tid=..&event=..&ed={"event_id":..}&pd={"em":..}``; ``init`` and what has no tag count for nothing."""
    name = EVENT_NAMES.get(params.get("event", "").replace("_", "").lower())
    if not params.get("tid") or name is None:
        return None
    data, person = _object(params.get("ed")), _object(params.get("pd"))
    email = str(person.get("em") or "")
    return {
        "source_id": params["tid"],
        "way": BROWSER,
        "name": name,
        "event_id": str(data.get("event_id") or ""),
        "event_ms": now_ms,
        "order_id": str(data.get("order_id") or ""),
        "value": str(data.get("value", "")),
        "currency": str(data.get("currency", "")),
        "action_source": "web",
        "keys": [hashed(email)] if email else [],
        "has_email": bool(email),
        "body": {"url": params.get("dep", "")},
    }


_NAMES = (
    "add_payment_info add_to_cart add_to_wishlist app_install checkout custom initiate_checkout lead page_visit search "
    "signup subscribe view_category view_content watch_video"
)
EVENT_NAMES = {name.replace("_", ""): name for name in _NAMES.split()}
"""The tag writes pagevisit, the conversions API page_visit."""


def hashed(value: str) -> str:
    """The value's hash, itself where it is one."""
    plain = value.strip().lower()
    return plain if HASH.fullmatch(plain) else sha256(plain.encode()).hexdigest()


def _object(text: str | None) -> dict[str, Any]:
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _time(text: str | None, default_ms: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) == 13 else default_ms
