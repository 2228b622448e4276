"""JSON of storefront events, typed: a body is decoded whole; where that fails, event by event, to say which and why."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from vitrin.retargeting.domain.checking import AMOUNT_MAX, Refusal
from vitrin.retargeting.domain.vocabulary import Choice, EventName, Purpose

EVENTS_MAX: Final = 500
ITEMS_MAX: Final = 250
ID_CHARS_MAX: Final = 64
KEY_CHARS_MAX: Final = 128
ITEM_ID_CHARS_MAX: Final = 100
URL_CHARS_MAX: Final = 2_048
TEXT_CHARS_MAX: Final = 256
PROPERTIES_MAX: Final = 32
QUANTITY_MAX: Final = 1_000_000

Id = Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)]
MaybeId = Annotated[str, Meta(max_length=ID_CHARS_MAX)]
Key = Annotated[str, Meta(max_length=KEY_CHARS_MAX)]
Text = Annotated[str, Meta(max_length=TEXT_CHARS_MAX)]
Url = Annotated[str, Meta(max_length=URL_CHARS_MAX)]
Aware = Annotated[datetime, Meta(tz=True)]
Milliseconds = Annotated[int, Meta(ge=0, le=2**53)]
Amount = Annotated[float, Meta(ge=0, le=AMOUNT_MAX)]
"""In whole units. A double holds what is sent as a number exactly enough: up to AMOUNT_MAX with four decimals has 15
digits, and its shortest form gives them back."""


class Item(Struct, gc=False, frozen=True, forbid_unknown_fields=True):
    item_id: Annotated[str, Meta(min_length=1, max_length=ITEM_ID_CHARS_MAX)]
    quantity: Annotated[int, Meta(ge=1, le=QUANTITY_MAX)] = 1
    price: Amount | None = None


class ClickIds(Struct, gc=False, frozen=True, forbid_unknown_fields=True):
    fbclid: Text = ""
    ttclid: Text = ""
    gclid: Text = ""
    gbraid: Text = ""
    wbraid: Text = ""
    epik: Text = ""
    ScCid: Text = ""
    twclid: Text = ""
    li_fat_id: Text = ""
    fbp: Text = ""
    fbc: Text = ""
    ttp: Text = ""
    scid: Text = ""


class Utm(Struct, gc=False, frozen=True, forbid_unknown_fields=True):
    source: Text = ""
    medium: Text = ""
    campaign: Text = ""
    term: Text = ""
    content: Text = ""
    id: Text = ""


class Consent(Struct, gc=False, frozen=True, forbid_unknown_fields=True):
    analytics: Choice | None = None
    ads: Choice | None = None
    personalization: Choice | None = None


class User(Struct, gc=False, frozen=True, forbid_unknown_fields=True):
    """Personal fields, sealed before they are written anywhere."""

    email: Text = ""
    phone: Text = ""
    first_name: Text = ""
    last_name: Text = ""
    street: Text = ""
    city: Text = ""
    region: Text = ""
    postal_code: Text = ""
    country: Text = ""
    birth_date: Text = ""
    gender: Text = ""
    ip: Text = ""
    user_agent: Annotated[str, Meta(max_length=512)] = ""


class WireEvent(Struct, gc=False, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    event_id: Id
    name: EventName
    occurred_at: Milliseconds | Aware | None = None
    visitor_id: MaybeId = ""
    customer_id: Key = ""
    session_id: MaybeId = ""
    url: Url = ""
    referrer: Url = ""
    items: Annotated[tuple[Item, ...], Meta(max_length=ITEMS_MAX)] = ()
    value: Amount | None = None
    currency: Annotated[str, Meta(max_length=3)] = ""
    order_id: Key = ""
    refund_id: Key = ""
    lead_id: Key = ""
    search_term: Text = ""
    custom_name: Text = ""
    click_ids: ClickIds | None = None
    utm: Utm | None = None
    consent: Consent | None = None
    consent_proof: Text = ""
    gpc: bool = False
    user: User | None = None
    properties: (
        Annotated[
            dict[Annotated[str, Meta(min_length=1, max_length=64)], Text | int | float | bool],
            Meta(max_length=PROPERTIES_MAX),
        ]
        | None
    ) = None


class Batch(Struct, gc=False):
    events: Annotated[list[WireEvent], Meta(min_length=1)]


class _Pieces(Struct):
    events: list[msgspec.Raw] | UnsetType = UNSET


_batch: Final = msgspec.json.Decoder(Batch, strict=True)
_event: Final = msgspec.json.Decoder(WireEvent, strict=True)
_pieces: Final = msgspec.json.Decoder(_Pieces)
encode: Final = msgspec.json.Encoder().encode
_NUL: Final = b"\\u0000"
_AT: Final = re.compile(r" - at (?:`(?:key|value)` in )?`\$\.?([^`]*)`$")
_SECRETIVE: Final = re.compile(r" '[^']*'|`[^`]*` of ")


_HALVES: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


class BodyUnreadable(Exception):
    """No JSON, or neither an event nor {"events": [...]}."""


class Decoded(Struct):
    """`events` in the order of the body, None where `refused` says why."""

    events: Sequence[WireEvent | None]
    refused: dict[int, Refusal]
    single: bool = False


def decode(body: bytes) -> Decoded:
    """Raises BodyUnreadable."""
    try:
        events: list[WireEvent] = _batch.decode(body).events
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _piecewise(body)
    if b"\\" in body and _NUL in body:
        return _piecewise(body)
    return Decoded(events, {})


def mended(body: bytes) -> bytes:
    """With a replacement for every half of a surrogate pair: browsers write those of a text that was cut within an
    emoji, and one of them would make the whole body unreadable."""
    return _HALVES.sub(rb"\\ufffd", body)


def _piecewise(body: bytes) -> Decoded:
    try:
        pieces = _pieces.decode(body).events
    except msgspec.ValidationError:
        raise BodyUnreadable("It is neither an event nor an object with a list 'events'.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BodyUnreadable("It is no JSON.") from None
    single = isinstance(pieces, UnsetType)
    raw: Sequence[bytes | msgspec.Raw] = [body] if isinstance(pieces, UnsetType) else pieces
    if not raw:
        raise BodyUnreadable("The list 'events' is empty.")
    events: list[WireEvent | None] = []
    refused: dict[int, Refusal] = {}
    for index, piece in enumerate(raw):
        try:
            event = _event.decode(piece)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            events.append(None)
            refused[index] = _refusal(str(error))
            continue
        if _NUL in encode(event):
            events.append(None)
            refused[index] = Refusal(
                "text_invalid", "", "A text with U+0000 cannot be kept.", "Leave the character out."
            )
            continue
        events.append(event)
    return Decoded(events, refused, single)


def _refusal(message: str) -> Refusal:
    """msgspec names the place; what was sent there may be personal and is not repeated."""
    found = _AT.search(message)
    field = found[1] if found else ""
    words = _SECRETIVE.sub(" ", message[: found.start()] if found else message)
    code = "invalid"
    if "utf-8" in words:
        code, words = "text_invalid", "It is not UTF-8."
    elif "missing required" in message:
        field = _named(message) or field
        code, words = f"{field}_missing", f"'{field}' is missing."
    elif field.partition(".")[0] == "consent":
        code, words, field = "consent_unknown", "There is no such purpose or choice.", "consent"
    elif "unknown field" in message:
        code, words = "field_unknown", "There is no such field."
        field = _named(message) or field
    elif field == "name":
        code, words = "name_unknown", "There is no event of this name."
    elif field == "currency":
        code, words = "currency_unknown", "This is no currency in use."
    elif "length <= " in message:
        code = {"items": "too_many_items", "properties": "too_many_properties"}.get(field, "")
        code = code or ("id_too_long" if field.endswith("_id") else "text_too_long")
        words = f"More than {message.partition('length <= ')[2].split(' ')[0]}."
    elif field == "occurred_at":
        code, words = (
            "time_invalid",
            "A time is a number of milliseconds since 1970, or RFC 3339 with its zone.",
        )
    elif field.endswith("price") or field == "value":
        code, words = "amount_invalid", f"An amount is a number between 0 and {AMOUNT_MAX}."
    fixes = {
        "name_unknown": f"Use one of {', '.join(EventName)}; 'custom' with 'custom_name' for anything else.",
        "field_unknown": "Check its spelling; what is your own goes into 'properties'.",
        "currency_unknown": "Send the three upper-case letters of ISO 4217, for example EUR.",
        "consent_unknown": f"Purposes: {', '.join(Purpose)}; choices: {', '.join(Choice)}.",
        "amount_invalid": "Check the amount, and send it as a number. A refund has a positive value too.",
        "too_many_items": f"Send {ITEMS_MAX} items at the most.",
        "too_many_properties": f"Send {PROPERTIES_MAX} properties at the most.",
    }
    return Refusal(
        code, field, words, fixes.get(code, "Correct this field; the other events count without it.")
    )


def _named(message: str) -> str:
    found = re.search(r"field `([^`]*)`", message)
    return found[1][:64] if found else ""
