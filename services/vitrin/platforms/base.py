"""What every platform's catalog has in common: items in, operations out, verdicts and failures in the same words.

A connector answers per record: accepted, refused with reasons, or unknown. What concerns the whole call
is a `PlatformFailure`, whose `kind` says what the caller may do:

    THROTTLED        wait `retry_after_s` (or back off), then send again: nothing was done
    TRANSIENT        the platform is unwell: back off and send again: nothing was done
    NOT_SENT         nothing left the house: back off and send again. Where our own limits turned the call away,
                     `retry_after_s` says when to come again, and `code` why: endpoint_resting (it failed again and
                     again, its breaker is open), crowded (too many calls of the brand wait), no_turn (no rate soon)
    AUTH             the token is expired or revoked: stop the channel until it is replaced
    PERMISSION       the token may not do this: stop the channel until somebody grants it
    INVALID_REQUEST  the call itself is wrong: repeating cannot help. A batch of several items may have been refused
                     because of some of them, without a name: `kit.delivery.bisect` finds them
    TOO_LARGE        send fewer items per call: halve by size, blame nobody but an item alone
    UNKNOWN_OUTCOME  sent, not (completely) answered: read back before repeating
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from vitrin.kit.http_client import PlatformHttp, Priority, Rate
from vitrin.kit.money import Money

Attributes = Mapping[str, object]
"""A platform's own field names and JSON values, without the item id."""


class Lane(StrEnum):
    """OFFER: price, sale price, availability, quantity. CONTENT: everything."""

    OFFER = "offer"
    CONTENT = "content"


class OperationKind(StrEnum):
    UPSERT = "upsert"
    OFFER = "offer"
    DELETE = "delete"


class Outcome(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class FailureKind(StrEnum):
    THROTTLED = "throttled"
    TRANSIENT = "transient"
    NOT_SENT = "not_sent"
    AUTH = "auth"
    PERMISSION = "permission"
    INVALID_REQUEST = "invalid_request"
    TOO_LARGE = "too_large"
    UNKNOWN_OUTCOME = "unknown_outcome"


class Endpoint(StrEnum):
    """Classes of calls; each has its own rate per account."""

    SEND = "send"
    POLL = "poll"
    READ_BACK = "read_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelItem:
    """One item with its offer in one market, as any platform may need it. Text is plain; "" means absent.

    Closed vocabularies are those of the catalog's events: availability in_stock, out_of_stock, preorder,
    available_for_order, discontinued; condition new, refurbished, used; age_group newborn, infant, toddler, kids,
    teen, adult, all_ages; gender male, female, unisex.
    `sale_start` and `sale_end` are aware; either may be missing.
    """

    item_id: str
    title: str
    description: str
    link: str
    image_link: str
    availability: str
    price: Money | None
    sku: str = ""
    item_group_id: str = ""
    additional_image_links: tuple[str, ...] = ()
    video_link: str = ""
    brand: str = ""
    gtin: str = ""
    mpn: str = ""
    condition: str = ""
    google_product_category: str = ""
    product_type: str = ""
    color: str = ""
    size: str = ""
    gender: str = ""
    age_group: str = ""
    material: str = ""
    pattern: str = ""
    checkout_url: str = ""
    custom_labels: tuple[str, ...] = ()
    sale_price: Money | None = None
    sale_start: datetime | None = None
    sale_end: datetime | None = None
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an item is not (fully) shown, in plain words with the fix. `code` is stable and the same for all platforms.

    One code asks for an action: `not_on_platform`, the platform does not hold the item of an offer (send an upsert)
    or of a delete (it is gone, which was wanted).
    `platform_code` and the words of `message` are the platform's own where it refused the item.
    """

    code: str
    field: str
    message: str
    fix: str
    platform_code: str = ""


@dataclass(frozen=True, slots=True)
class Rendered:
    """`attributes` for an upsert. With any `problems` the item must not be sent; `warnings` do not stop it."""

    attributes: Mapping[str, object]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One record of a batch; `size_bytes` is what it adds to the body. Made by `CatalogChannel.operation`."""

    platform_item_id: str
    kind: OperationKind
    attributes: Mapping[str, object]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """REFUSED without reasons: failed, and not a word why. Perhaps for the sake of another item of the batch, or with
    the whole batch: only sent alone it can be judged."""

    platform_item_id: str
    outcome: Outcome
    reasons: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class SendResult:
    """`verdicts` are those known at once. Without a handle they cover the whole batch; with one, poll for the rest."""

    handle: str | None
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class PollResult:
    """Not done: no verdicts yet. Done: exactly one verdict per id that was asked for."""

    done: bool
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """`name` is the platform's field; `sent` is what was asked for and `seen` what the platform shows."""

    name: str
    sent: str
    seen: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a platform holds of one item. `problems`: it holds the item but does not show it (its review refused it)."""

    platform_item_id: str
    present: bool
    differences: tuple[Difference, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def matches(self) -> bool:
        return self.present and not self.differences


@dataclass(frozen=True, slots=True)
class ListedItem:
    """An item as a platform's listing shows it; "" where it does not say."""

    platform_item_id: str
    title: str = ""
    gtin: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class ListedPage:
    """`next_cursor` None: this was the last page. A cursor is good for some time only."""

    items: tuple[ListedItem, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a platform's catalog can do. `partial_update`: an offer operation leaves the other fields alone.
    `lists_items`: it can name everything that a catalog holds (`CatalogChannel.list_items`).

    `stock_fields`: attributes that say whether the item can be bought; with an availability of `sold_out_words` it
    cannot. `shows_within_s`: what it accepted and does not show by then is taken for lost."""

    platform: str
    batch_items_max: int
    batch_bytes_max: int
    partial_update: bool
    read_back: bool
    read_back_items_max: int
    item_id_length_max: int
    concurrency_max: int
    lists_items: bool = False
    rates: Mapping[Endpoint, Rate] = field(default_factory=dict)
    stock_fields: tuple[str, ...] = ("availability",)
    sold_out_words: frozenset[str] = frozenset({"out of stock", "discontinued"})
    shows_within_s: float = 900.0


class PlatformFailure(Exception):
    """A whole call failed. `code` is stable, `platform_code` and `message` are the platform's own words."""

    def __init__(
        self,
        kind: FailureKind,
        *,
        code: str,
        message: str,
        fix: str = "",
        platform_code: str = "",
        retry_after_s: float | None = None,
        fields: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"{kind.value} {code}: {message}")
        self.kind = kind
        self.code = code
        self.message = message
        self.fix = fix
        self.platform_code = platform_code
        self.retry_after_s = retry_after_s
        self.fields = fields


class CatalogChannel(Protocol):
    """One platform catalog, for one account, market and language. I/O methods raise PlatformFailure and nothing else.

    Never call `send`, `poll`, `read_back` or `list_items` with a database transaction open: they wait for the
    platform's rate.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    def platform_item_id(self, raw: str) -> str:
        """Pure and stable: `raw` itself where the platform takes it, else cut with a hash of the whole."""
        ...

    def render(self, item: ChannelItem) -> Rendered:
        """The full attributes of an upsert, and what stands against sending them. Pure."""
        ...

    def render_offer(self, item: ChannelItem) -> Mapping[str, object]:
        """The attributes of an offer operation; only for items whose `render` has no problems. Pure."""
        ...

    def operation(
        self, *, kind: OperationKind, platform_item_id: str, attributes: Mapping[str, object] | None = None
    ) -> Operation:
        """One record of a batch with its size. Pure."""
        ...

    def ready_in_s(self, endpoint: Endpoint = Endpoint.SEND, *, priority: Priority = Priority.SLOW) -> float:
        """Seconds that a call would now wait for the platform's rate in this lane, or for a resting endpoint; 0 when
        it could go at once. Ask before taking work."""
        ...

    async def send(self, operations: Sequence[Operation], *, priority: Priority | None = None) -> SendResult:
        """One call; at most `batch_items_max` operations and `batch_bytes_max`, each item id at most once.

        `priority` None: FAST where an operation is of kind OFFER; the caller knows better where price and stock
        travel in upserts."""
        ...

    async def poll(self, handle: str, sent: Sequence[str]) -> PollResult:
        """`sent`: the platform item ids of the batch that have no verdict yet."""
        ...

    async def read_back(
        self, expected: Mapping[str, Mapping[str, object]], *, priority: Priority = Priority.SLOW
    ) -> Mapping[str, Seen]:
        """What the platform shows now, for every id of `expected` (platform item id -> attributes sent, {} after
        a delete), compared field by field. Any number of ids; split into calls of `read_back_items_max`. FAST for a
        look that holds up price or stock."""
        ...

    async def list_items(self, cursor: str | None) -> ListedPage:
        """What the catalog holds, whoever put it there: one page, one call, at the rate of read-backs.

        INVALID_REQUEST with a cursor: it is not good any more, begin again. A platform without `lists_items` raises
        INVALID_REQUEST with the code `cannot_list`, and sends nothing."""
        ...


class ChannelMisconfigured(ValueError):
    """A connection's own settings cannot make a channel: `code` is stable, `field` names the setting."""

    def __init__(self, code: str, *, field: str, message: str, fix: str) -> None:
        super().__init__(f"{code} ({field}): {message}")
        self.code = code
        self.field = field
        self.message = message
        self.fix = fix


class OpenChannel(Protocol):
    """Makes a channel; no I/O. Raises ChannelMisconfigured."""

    def __call__(
        self,
        *,
        http: PlatformHttp,
        access_token: str,
        external_ids: Mapping[str, str],
        market: str,
        language: str,
        currency: str,
        base_url: str | None = None,
        rates: Mapping[Endpoint, Rate] | None = None,
        brand: str = "",
    ) -> CatalogChannel:
        """`market` is an ISO 3166-1 alpha-2 country, `language` ISO 639-1, `currency` ISO 4217; `base_url` None means
        the platform's own; `rates` replaces those of the capabilities (a sandbox without quotas, a busy catalog);
        `brand` is whose bulkheads and breakers the calls use."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformSpec:
    """What the services must know of a platform before they open a channel on it."""

    name: str
    title: str
    capabilities: Capabilities
    required_external_ids: tuple[str, ...]
    optional_external_ids: tuple[str, ...]
    default_base_url: str
    required_scopes: tuple[str, ...]
    open_channel: OpenChannel
