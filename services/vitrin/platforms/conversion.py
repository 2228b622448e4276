"""What every network's conversions API has in common: storefront events in, one verdict per event out.

The way of an event: `render` when it is due (pure; hashes, and looks at its age by the clock given) -> `send` in
batches -> `reported` days later, with what the network counted. One event id is made before the browser's and the
server's send, so the network merges the two; it makes a repeat harmless within `ConversionCapabilities.dedupe`.

Where `whole_batch` is set, one event that the network does not like refuses all of them (INVALID_REQUEST):
`kit.delivery.bisect` finds it. `render` keeps out what is known to do that: old events, a purchase without value.

No network has a call that takes an event back: an erasure can stop what is still to be sent and say so of the rest.

"Not ready yet" comes in two shapes: a verdict with `ready_in_s`, or a PlatformFailure with the code NOT_READY and
`retry_after_s`. Both mean: nothing was counted, keep the events in the waiting room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from vitrin.kit.http_client import PlatformHttp, Priority, Rate
from vitrin.kit.money import Money
from vitrin.platforms.base import Problem
from vitrin.platforms.personal.model import Person
from vitrin.platforms.records import Limits, RecordVerdict

NOT_READY: Final = "not_ready_yet"


class ConversionName(StrEnum):
    """The vocabulary of storefront events."""

    PAGE_VIEW = "page_view"
    VIEW_ITEM = "view_item"
    VIEW_COLLECTION = "view_collection"
    SEARCH = "search"
    ADD_TO_CART = "add_to_cart"
    REMOVE_FROM_CART = "remove_from_cart"
    ADD_TO_WISHLIST = "add_to_wishlist"
    BEGIN_CHECKOUT = "begin_checkout"
    ADD_PAYMENT_INFO = "add_payment_info"
    PURCHASE = "purchase"
    REFUND = "refund"
    LEAD = "lead"
    SIGN_UP = "sign_up"
    CUSTOM = "custom"


class Where(StrEnum):
    """Where it happened. STORE and PHONE: orders that came by CSV or API."""

    WEB = "web"
    STORE = "store"
    PHONE = "phone"
    EMAIL = "email"
    OTHER = "other"


class ConversionEndpoint(StrEnum):
    """Classes of calls; each has its own rate per account."""

    SEND = "send"
    REPORT = "report"


class TestKind(StrEnum):
    """How a network takes events that must not count. CODE: with the brand's own test code, shown in the network's test
    tool. FLAG: checked like live ones and not recorded. VALIDATE: another address that only checks."""

    __test__ = False

    CODE = "code"
    FLAG = "flag"
    VALIDATE = "validate"


@dataclass(frozen=True, slots=True)
class Test:
    """Send for a test. `code`: needed where the network's `test` is CODE."""

    __test__ = False

    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionItem:
    """`item_id`: as the network's catalog has it (`CatalogChannel.platform_item_id`), else its ads cannot show it."""

    item_id: str
    quantity: int = 1
    price: Money | None = None
    title: str = ""
    brand: str = ""
    category: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """One storefront event, as any network may need it. "" means absent.

    `event_id`: the browser's too. `occurred_at`: aware. `clicks`: click and browser ids by the collector's names
    (fbclid, fbc, fbp, epik, ...), with `clicked_at` for those that came from the landing page's address.
    `limited`: the person may not be profiled (opt-out under a US state law): sent with the network's flag for that.
    """

    event_id: str
    name: ConversionName
    occurred_at: datetime
    custom_name: str = ""
    where: Where = Where.WEB
    person: Person = field(default_factory=Person)
    client_ip: str = field(default="", repr=False)
    user_agent: str = field(default="", repr=False)
    clicks: Mapping[str, str] = field(default_factory=dict, repr=False)
    clicked_at: datetime | None = None
    url: str = field(default="", repr=False)
    referrer: str = field(default="", repr=False)
    value: Money | None = None
    items: tuple[ConversionItem, ...] = ()
    order_id: str = ""
    lead_id: str = ""
    search_term: str = field(default="", repr=False)
    limited: bool = False


@dataclass(frozen=True, slots=True)
class RenderedConversion:
    """`body`: the network's own event. With `problems` it must not be sent (dead letter, with these reasons);
    `warnings` go with it into the ledger."""

    event_id: str
    body: Mapping[str, object] = field(repr=False)
    size_bytes: int
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ConversionResult:
    """`verdicts`: exactly one per event sent. `trace`: the network's own id of the call, for its support."""

    verdicts: tuple[RecordVerdict, ...]
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a network says that it counted of one event name (its own) on one day (UTC). None: it does not say.

    `received`: browser and server together. `matched`: with a person whom it knows. `merged`: taken for one with
    another. `*_share`: 0 to 1, where it gives shares only, then over `since` to `until`. `identified_share`: events
    that carried an address. `as_of`: when the network computed it; None where it does not say.
    """

    event_name: str
    since: date
    until: date
    received: int | None = None
    matched: int | None = None
    merged: int | None = None
    identified_share: float | None = None
    merged_share: float | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionCapabilities:
    """`names`: the network's word for each of ours; a name that is missing is not sent (`event_not_taken`).

    `age_max`: how old an event may be when it arrives, per `Where` (the entry of WEB where it is missing).
    `dedupe`: how long a repeat is recognised; `dedupe_by`: by which fields, beside the account.
    `dedupes_offline`: whether events that did not happen on the web are deduplicated at all.
    `whole_batch`: one bad event refuses all. `per_event`: the answer names every event.
    `value_needed`: names that must have value and currency."""

    platform: str
    limits: Limits
    names: Mapping[ConversionName, str]
    age_max: Mapping[Where, timedelta]
    future_max: timedelta
    dedupe: timedelta
    dedupe_by: tuple[str, ...]
    dedupes_offline: bool
    whole_batch: bool
    per_event: bool
    test: TestKind
    concurrency_max: int
    value_needed: frozenset[ConversionName] = frozenset({ConversionName.PURCHASE})
    rates: Mapping[ConversionEndpoint, Rate] = field(default_factory=dict)

    def age_max_of(self, where: Where) -> timedelta:
        return self.age_max.get(where, self.age_max[Where.WEB])


class ConversionChannel(Protocol):
    """One pixel, tag or data set. I/O methods raise PlatformFailure and nothing else; never call them with a database
    transaction open: they wait for the network's rate."""

    @property
    def capabilities(self) -> ConversionCapabilities: ...

    def render(self, event: Conversion, *, now: datetime) -> RenderedConversion:
        """The network's own event. Pure. Render just before sending: `now` decides whether it is too old, and the
        result holds hashes of personal data, which are not to be stored."""
        ...

    def ready_in_s(
        self,
        endpoint: ConversionEndpoint = ConversionEndpoint.SEND,
        *,
        priority: Priority = Priority.SLOW,
    ) -> float:
        """Seconds that a call would now wait for the network's rate; 0 when it could go at once."""
        ...

    async def send(
        self,
        events: Sequence[RenderedConversion],
        *,
        test: Test | None = None,
        priority: Priority = Priority.SLOW,
    ) -> ConversionResult:
        """One call within `limits`, each event id once and without `problems`. With `test` nothing counts."""
        ...

    async def reported(self, since: date, until: date) -> tuple[Reported, ...]:
        """What the network counted from `since` to `until`, both included; days without events are missing."""
        ...


class OpenConversionChannel(Protocol):
    """Makes a channel; no I/O. Raises ChannelMisconfigured."""

    def __call__(
        self,
        *,
        http: PlatformHttp,
        access_token: str,
        external_ids: Mapping[str, str],
        base_url: str | None = None,
        rates: Mapping[ConversionEndpoint, Rate] | None = None,
        brand: str = "",
    ) -> ConversionChannel: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionNetwork:
    """What the services must know of a network before they open a channel on it."""

    name: str
    title: str
    capabilities: ConversionCapabilities
    required_external_ids: tuple[str, ...]
    required_scopes: tuple[str, ...]
    default_base_url: str
    open_channel: OpenConversionChannel
