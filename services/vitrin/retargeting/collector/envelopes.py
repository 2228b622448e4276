"""From what the door took to records of storefront.event.v1: one brand and one partition each, many events in one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from vitrin.events import topics
from vitrin.events.envelope import RECORD_BYTES_MAX
from vitrin.kit.clock import EPOCH
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.kit.kafka.batches import Record, header, joined_headers
from vitrin.kit.kafka.keys import partition_of
from vitrin.kit.seal import Day, Person, ToSeal
from vitrin.protos.retargeting.v1.events_pb2 import Consent, EventItem, StorefrontEvent, StorefrontEvents
from vitrin.retargeting.collector import wire
from vitrin.retargeting.collector.packing import Taken
from vitrin.retargeting.collector.wire import User, WireEvent
from vitrin.retargeting.domain.checking import minor_units, occurred_ms
from vitrin.retargeting.domain.vocabulary import CLICK_IDS, PERSONAL, UTM, Choice

TYPE: Final = "retargeting.storefront_events"
PRODUCER: Final = "retargeting"
PAYLOAD_BYTES_MAX: Final = RECORD_BYTES_MAX - 4_096
"""Of one record; the rest is its key and headers."""
_EVENT_FRAME_BYTES: Final = 8


@dataclass(slots=True)
class Ready:
    """An event on its way, and what of it has to be sealed first. `visitor`: what chooses its partition."""

    brand: BrandId
    event: StorefrontEvent
    visitor: str
    to_seal: ToSeal | None = field(default=None, repr=False)


def ready_events(taken: Taken, events: Sequence[WireEvent | None], today: datetime) -> Iterator[Ready]:
    """Those that the door accepted. `today`: under whose key that is sealed which belongs to nobody known."""
    indices = taken.indices
    for index in range(len(events)) if indices is None else indices:
        event = events[index] if index < len(events) else None
        if event is not None:
            yield _ready(taken, event, today)


def _ready(taken: Taken, event: WireEvent, today: datetime) -> Ready:
    at_ms = occurred_ms(event, taken.received_ms)
    made = StorefrontEvent(
        event_id=event.event_id,
        name=event.name,
        custom_name=event.custom_name,
        occurred_at_ms=at_ms,
        received_at_ms=taken.received_ms,
        visitor_id=event.visitor_id,
        customer_id=event.customer_id,
        session_id=event.session_id,
        url=bare(event.url),
        referrer=bare(event.referrer),
        items=[_item(one.item_id, one.quantity, one.price, event.currency) for one in event.items],
        currency=event.currency,
        order_id=event.order_id,
        refund_id=event.refund_id,
        lead_id=event.lead_id,
        search_term=event.search_term,
        click_ids=_from_address(event, CLICK_IDS, "", event.click_ids),
        utm=_from_address(event, UTM, "utm_", event.utm),
        consents=_consents(event.consent),
        consent_proof=event.consent_proof,
        gpc=event.gpc or taken.gpc,
        properties={name: _plain(value) for name, value in (event.properties or {}).items()},
        source=taken.source,
        test=taken.test,
    )
    if event.value is not None:
        made.value_minor = minor_units(event.value, event.currency)
    visitor = event.visitor_id or f"customer:{event.customer_id}"
    fields = personal_fields(taken, event.user)
    if not fields:
        return Ready(taken.brand_id, made, visitor)
    happened_at = datetime.fromtimestamp(at_ms / 1000, EPOCH.tzinfo)
    subject = subject_of(event, fields)
    if not subject:
        return Ready(taken.brand_id, made, visitor, ToSeal(Day(today.date()), fields, happened_at))
    made.whose = subject
    return Ready(taken.brand_id, made, visitor, ToSeal(Person(subject), fields, happened_at))


def subject_of(event: WireEvent, fields: Mapping[str, str]) -> str:
    """Whose key seals it: the customer's where one is named, the visitor's where the fields tell who it is; empty: an
    address and a browser's name alone, which nobody can be found by later."""
    if event.customer_id:
        return f"storefront:customer:{event.customer_id}"
    if any(name in fields for name in PERSONAL):
        return f"storefront:visitor:{event.visitor_id}"
    return ""


def personal_fields(taken: Taken, user: User | None) -> dict[str, str]:
    fields = {} if user is None else {n: v for n, v in msgspec.structs.asdict(user).items() if v}
    if taken.ip:
        fields.setdefault("ip", taken.ip)
    if taken.user_agent:
        fields.setdefault("user_agent", taken.user_agent)
    return fields


def _consents(given: wire.Consent | None) -> list[Consent]:
    if given is None:
        return []
    choices = msgspec.structs.asdict(given).items()
    return [Consent(purpose=name, granted=choice == Choice.GRANTED) for name, choice in choices if choice]


def _item(item_id: str, quantity: int, price: float | None, currency: str) -> EventItem:
    item = EventItem(item_id=item_id, quantity=quantity)
    if price is not None:
        item.price_minor = minor_units(price, currency)
    return item


def bare(url: str) -> str:
    """Without query and fragment: shops put e-mail addresses and tokens there."""
    return url.partition("#")[0].partition("?")[0]


def _from_address(
    event: WireEvent, names: Sequence[str], prefix: str, given: msgspec.Struct | None
) -> dict[str, str]:
    """What the event names, else what stands in its address, which is not kept whole."""
    found: dict[str, str] = {}
    if "?" in event.url:
        try:
            query = parse_qs(urlsplit(event.url).query, max_num_fields=100)
        except ValueError:
            query = {}
        found = {name: query[prefix + name][0][:256] for name in names if query.get(prefix + name)}
    if given is not None:
        found |= {name: value for name, value in msgspec.structs.asdict(given).items() if value}
    return {name: value for name, value in found.items() if "\x00" not in value}


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def records_of(ready: Sequence[Ready], partitions: int) -> list[Record]:
    """In the order of their arrival per brand and partition, each record below what Kafka takes."""
    open_: dict[tuple[BrandId, int], tuple[StorefrontEvents, int]] = {}
    records: list[Record] = []
    for one in ready:
        place = (one.brand, partition_of(f"{one.brand}/{one.visitor}".encode(), partitions))
        size = one.event.ByteSize() + _EVENT_FRAME_BYTES
        envelope, held = open_.get(place, (None, 0))
        if envelope is not None and held + size > PAYLOAD_BYTES_MAX:
            records.append(_record(place, envelope))
            envelope = None
        if envelope is None:
            envelope, held = StorefrontEvents(), 0
        envelope.events.append(one.event)
        open_[place] = (envelope, held + size)
    return [*records, *(_record(place, envelope) for place, (envelope, _) in open_.items())]


def _record(place: tuple[BrandId, int], envelope: StorefrontEvents) -> Record:
    brand, partition = place
    newest = max(one.occurred_at_ms for one in envelope.events)
    headers = joined_headers(
        (
            header("id", new_uuid().bytes),
            header("type", TYPE.encode()),
            header("brand", brand.bytes),
            header("occurred", b"%d" % (newest * 1000)),
            header("received", b"%d" % (envelope.events[0].received_at_ms * 1000)),
            header("producer", PRODUCER.encode()),
        )
    )
    key = f"{brand}/{partition}".encode()
    return Record(topics.STOREFRONT_EVENT, key, envelope.SerializeToString(), headers, partition)
