"""The webhooks that the shops send: what waits, what became of each, and how they go wrong on command.

Shopify's manners: connect within 1 s, an answer within 5 s, else 8 retries within 4 hours under the same webhook id;
then the subscription is deleted. WooCommerce's: 60 s, no retry; a webhook that fails more than five times in a row is
disabled. How Shopify spaces its retries is unverified.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from secrets import token_hex
from typing import Literal

import msgspec

from vitrin.sandbox.shops.model import Kind, Shop, Subscription

RETRY_AFTER_S: dict[Kind, tuple[int, ...]] = {
    "shopify": (60, 120, 300, 600, 1_200, 2_400, 3_600, 6_120),
    "woocommerce": (),
}
"""The sum of Shopify's is four hours."""
CONNECT_S: dict[Kind, float] = {"shopify": 1, "woocommerce": 60}
TOTAL_S: dict[Kind, float] = {"shopify": 5, "woocommerce": 60}
WOO_FAILURES_MAX = 5
SIGNATURES = ("X-Shopify-Hmac-Sha256", "X-WC-Webhook-Signature")
HELD_MS = 60_000
"""A delivery that waits for another to pass it goes after this long all the same."""

FaultName = Literal["duplicate", "reorder", "delay", "drop", "forge", "replay"]
FAULTS: dict[FaultName, str] = {
    "duplicate": "sent twice at once, with the same webhook id",
    "reorder": "waits until the shop's next webhook was sent",
    "delay": "sent delay_ms late",
    "drop": "never sent: a missed webhook",
    "forge": "a copy with a wrong signature and an id of its own goes first; the right one follows",
    "replay": "sent again delay_ms after it arrived, with the same id, signature and moment",
}


class Delivery(msgspec.Struct):
    """One webhook on its way. `state`: waiting, sending, delivered, failed (given up), dropped."""

    key: str
    kind: Kind
    host: str
    subscription_id: int
    topic: str
    address: str
    headers: dict[str, str]
    body: str
    created_ms: int
    due_ms: int
    state: str = "waiting"
    fault: str = ""
    attempts: int = 0
    statuses: list[int | None] = []
    error: str = ""
    retries: bool = True
    replay_ms: int | None = None
    held_back: bool = False

    @property
    def done(self) -> bool:
        """Whether nothing more will be sent."""
        return self.state in ("delivered", "failed", "dropped")


class HookFault(msgspec.Struct):
    """A way in which webhooks go wrong, `count` times more (None: until it is cleared)."""

    id: str
    kind: FaultName
    kind_of_shop: Kind
    host: str
    topic: str = ""
    count: int | None = 1
    delay_ms: int = 1_000


class Outbox:
    """Deliveries in the order in which they were made; the finished ones are kept up to a number."""

    def __init__(self, *, kept_max: int, time_scale: float) -> None:
        self.deliveries: OrderedDict[str, Delivery] = OrderedDict()
        self.faults: dict[str, HookFault] = {}
        self._kept_max = kept_max
        self._time_scale = time_scale
        self._fault_number = 0

    def take(
        self,
        shop: Shop,
        to: Subscription,
        topic: str,
        body: bytes,
        headers: dict[str, str],
        *,
        now_ms: int,
    ) -> list[Delivery]:
        """A delivery, with what the faults make of it."""
        one = Delivery(
            key=token_hex(8),
            kind=shop.kind,
            host=shop.host,
            subscription_id=to.id,
            topic=topic,
            address=to.address,
            headers=headers,
            body=body.decode(),
            created_ms=now_ms,
            due_ms=now_ms,
        )
        for earlier in self.deliveries.values():
            if earlier.held_back and (earlier.kind, earlier.host) == (shop.kind, shop.host):
                # What it waited for is here; a little later than that, it goes.
                earlier.held_back, earlier.due_ms = False, now_ms + 50
        made = list(self._spoil(one))
        for each in made:
            self.keep(each)
        return made

    def keep(self, delivery: Delivery) -> None:
        """Take one, fresh or from a file."""
        self.deliveries[delivery.key] = delivery
        while len(self.deliveries) > self._kept_max and next(iter(self.deliveries.values())).done:
            self.deliveries.popitem(last=False)

    def due(self, *, now_ms: int) -> Iterator[Delivery]:
        """Those that may go now, oldest first."""
        for one in list(self.deliveries.values()):
            if one.state == "waiting" and one.due_ms <= now_ms:
                yield one

    def pending(self) -> list[Delivery]:
        """Those that a restart must not forget."""
        return [one for one in self.deliveries.values() if not one.done]

    def next_due_ms(self) -> int | None:
        """When the next one may go; None: none waits."""
        return min((one.due_ms for one in self.deliveries.values() if one.state == "waiting"), default=None)

    def again(self, delivery: Delivery, *, now_ms: int, fault: str = "replay") -> Delivery:
        """The same bytes, headers and id once more."""
        copy = msgspec.structs.replace(
            delivery,
            key=token_hex(8),
            created_ms=now_ms,
            due_ms=now_ms,
            state="waiting",
            fault=fault,
            attempts=0,
            statuses=[],
            error="",
            replay_ms=None,
        )
        self.keep(copy)
        return copy

    def settle(
        self, one: Delivery, shop: Shop | None, *, status: int | None, error: str, now_ms: int
    ) -> None:
        """After an attempt: delivered, tried again later, or given up with what that means for the subscription."""
        one.attempts += 1
        one.statuses.append(status)
        one.error = error
        to = shop.subscriptions.get(one.subscription_id) if shop is not None else None
        good = status is not None and (200 <= status < 300 or (one.kind == "woocommerce" and status < 303))
        if good:
            one.state = "delivered"
            if to is not None:
                to.failures = 0
            if one.replay_ms is not None:
                again = self.again(one, now_ms=now_ms)
                again.due_ms = now_ms + one.replay_ms
            return
        retries = RETRY_AFTER_S[one.kind] if one.retries else ()
        if one.attempts <= len(retries):
            one.state = "waiting"
            one.due_ms = now_ms + int(retries[one.attempts - 1] * 1000 * self._time_scale)
            return
        one.state = "failed"
        if shop is None or to is None or not one.retries:
            return
        if one.kind == "shopify":
            del shop.subscriptions[to.id]
        elif to.failures > WOO_FAILURES_MAX:  # as class-wc-webhook.php counts: more than five
            to.status = "disabled"
        else:
            to.failures += 1

    def add_fault(self, fault: HookFault) -> None:
        """From now on."""
        self._fault_number += 1
        fault.id = f"h{self._fault_number}"
        self.faults[fault.id] = fault

    def _spoil(self, one: Delivery) -> Iterator[Delivery]:
        for fault in list(self.faults.values()):
            if (fault.kind_of_shop, fault.host) != (one.kind, one.host) or fault.topic not in ("", one.topic):
                continue
            if fault.count is not None:
                fault.count -= 1
                if fault.count <= 0:
                    del self.faults[fault.id]
            one.fault = fault.kind
            yield from _spoiled(one, fault)
            return
        yield one


def _spoiled(one: Delivery, fault: HookFault) -> Iterator[Delivery]:
    match fault.kind:
        case "drop":
            one.state = "dropped"
        case "delay":
            one.due_ms += fault.delay_ms
        case "reorder":
            one.held_back, one.due_ms = True, one.due_ms + HELD_MS
        case "replay":
            one.replay_ms = fault.delay_ms
        case "duplicate":
            yield msgspec.structs.replace(one, key=token_hex(8), statuses=[])
        case "forge":
            yield _forged(one)
    yield one


def _forged(one: Delivery) -> Delivery:
    """Nobody who lacks the secret can do better: a body that was changed, the signature of another."""
    headers = {
        name: ("QUJD" * 11 if name in SIGNATURES else f"{value}-forged" if name.endswith("-Id") else value)
        for name, value in one.headers.items()
    }
    body = re.sub(r'"title":"', '"title":"Forged ', one.body, count=1)
    return msgspec.structs.replace(
        one, key=token_hex(8), headers=headers, body=body, retries=False, statuses=[]
    )
