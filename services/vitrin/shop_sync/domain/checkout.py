"""A cart that a platform hands over: which of its lines the shop can sell, and why the others not. Pure.

Platforms name items by the id that the channel gave them: `products=<platform item id>:<quantity>,...` and
`coupon=<code>` (Meta's checkout URL, `platforms.md` 1.2). An id may hold commas and colons; a line ends with a colon, a
number, and a comma or the end. So an id with `:<number>,` in it cannot be told from two lines (`deploy/limits.md`).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import unquote

LINES_MAX: Final = 100
LINES_READ_MAX: Final = 200
"""Of what is written there, good or bad: the rest is one trouble."""
QUANTITY_MAX: Final = 999
PRODUCTS_CHARS_MAX: Final = 8_000
COUPON_CHARS_MAX: Final = 255
COUPONS_MAX: Final = 500
SUBJECT_CHARS_MAX: Final = 100
# A number that counts no pieces (-1, 1.5) ends its line too, or the line behind it would become a part of an id.
_LINE: Final = re.compile(r"(.*?):\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*(?:,|\Z)", re.DOTALL)
_DIGITS_MAX: Final = 9
_SOLD_OUT: Final = frozenset({"out_of_stock", "discontinued"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """One line of the platform's cart, as it was asked for: the quantity may be more than any shop takes."""

    platform_item_id: str
    quantity: int

    @property
    def spellings(self) -> tuple[str, ...]:
        """What the channel may call it, the likelier first: some encode each id before they encode the whole list."""
        decoded = unquote(self.platform_item_id)
        return tuple(dict.fromkeys(one for one in (self.platform_item_id, decoded) if "\0" not in one))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the shop's cart."""

    product_id: str
    variant_id: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sellable:
    """What is known of the item behind a platform id, in the channel's market. `variant_id` "": it is of no product of
    this shop. `quantity` None: not tracked, or sold beyond it."""

    item_id: str
    title: str
    deleted: bool = False
    product_id: str = ""
    variant_id: str = ""
    availability: str = ""
    """"" where the item has no offer in the market."""
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Coupon:
    """A code that the shop takes. Codes are compared without case, as shops do."""

    code: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """What cannot be honoured as it was asked for. `left`: of `only_some_left` and `quantity_limited`, how many go on.

    Codes: not_a_line, too_many_lines, item_unknown, item_gone, item_not_in_shop, sold_out, only_some_left,
    quantity_limited, coupon_unknown, coupon_not_yet, coupon_ended, coupon_malformed."""

    code: str
    subject: str
    title: str = ""
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Handoff:
    """`lines` and `coupons` can go on; `troubles` say what cannot."""

    lines: tuple[Line, ...]
    coupons: tuple[str, ...]
    troubles: tuple[Trouble, ...]

    @property
    def outcome(self) -> str:
        if not self.lines:
            return "nothing"
        return "partial" if self.troubles else "whole"

    def after(self, troubles: Sequence[Trouble]) -> "Handoff":
        """With what was not even read, first."""
        return replace(self, troubles=(*troubles, *self.troubles))


def read_products(text: str) -> tuple[list[Wanted], list[Trouble]]:
    """Lines of one id are one line. What is no line is a trouble of its own, and holds up no other; a line that the
    limit of characters would cut is not read at all, since half a number is another number."""
    found: dict[str, int] = {}
    troubles: list[Trouble] = []
    at, read, text = 0, 0, text.strip()
    while at < len(text):
        line = _LINE.match(text, at)
        end = len(text) if line is None else line.end()
        if end > PRODUCTS_CHARS_MAX or read >= LINES_READ_MAX:
            troubles.append(Trouble("too_many_lines", shown(text[at:])))
            break
        wanted_id, pieces = ("", 0) if line is None else (line[1].strip(), _pieces(line[2]))
        if not wanted_id or not pieces:
            troubles.append(Trouble("not_a_line", shown(text[at:end].strip().strip(","))))
        elif wanted_id not in found and len(found) >= LINES_MAX:
            troubles.append(Trouble("too_many_lines", shown(wanted_id)))
        else:
            found[wanted_id] = found.get(wanted_id, 0) + pieces
        at, read = end, read + 1
    return [Wanted(name, quantity) for name, quantity in found.items()], troubles


def shown(text: str) -> str:
    """A stranger's text as it may be kept and shown: short, and no character that a page or PostgreSQL cannot hold."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text[:SUBJECT_CHARS_MAX])


def _pieces(number: str) -> int:
    """0: it counts no pieces. A longer number than anybody means stays one that is too large."""
    digits = number.removeprefix("+")
    if not digits.isdecimal():
        return 0
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _DIGITS_MAX else 10**_DIGITS_MAX


def decide(
    wanted: Sequence[Wanted],
    coupon: str,
    *,
    known: Mapping[str, Sellable],
    coupons: Sequence[Coupon] | None,
    now: datetime,
) -> Handoff:
    """`known` by platform item id; several ids of one item share its stock. `coupons` None: the shop judges."""
    lines: list[Line] = []
    troubles: list[Trouble] = []
    taken_of: Counter[str] = Counter()
    for one in wanted:
        item = known.get(one.platform_item_id)
        if item is not None and item.quantity is not None:
            item = replace(item, quantity=max(0, item.quantity - taken_of[item.item_id]))
        trouble = _trouble(one, item, most=QUANTITY_MAX - (0 if item is None else taken_of[item.item_id]))
        if trouble is not None:
            troubles.append(trouble)
        if item is not None and (trouble is None or trouble.left):
            quantity = one.quantity if trouble is None or trouble.left is None else trouble.left
            lines.append(Line(item.product_id, item.variant_id, quantity))
            taken_of[item.item_id] += quantity
    code = coupon.strip()
    refused = None if not code else _coupon_trouble(code, coupons, now)
    if refused is not None:
        troubles.append(refused)
    taken = (code,) if code and refused is None else ()
    return Handoff(_merged(lines), taken, tuple(troubles))


def _trouble(one: Wanted, item: Sellable | None, *, most: int) -> Trouble | None:
    """`most`: pieces that this cart may still take of the item."""
    if item is None:
        return Trouble("item_unknown", shown(one.platform_item_id))
    if item.deleted:
        code, left = "item_gone", None
    elif not item.variant_id:
        code, left = "item_not_in_shop", None
    elif not item.availability or item.availability in _SOLD_OUT or item.quantity == 0:
        code, left = "sold_out", None
    elif item.quantity is not None and item.quantity < one.quantity and item.quantity <= most:
        code, left = "only_some_left", item.quantity
    elif one.quantity > most:
        code, left = "quantity_limited", most
    else:
        return None
    return Trouble(code, item.item_id, item.title, left)


def _coupon_trouble(code: str, coupons: Sequence[Coupon] | None, now: datetime) -> Trouble | None:
    if len(code) > COUPON_CHARS_MAX or not code.isprintable():
        return Trouble("coupon_malformed", shown(code))
    if coupons is None:
        return None
    same = [one for one in coupons if one.code.casefold() == code.casefold()]
    if not same:
        return Trouble("coupon_unknown", code)
    (coupon,) = same[:1]
    if coupon.starts_at is not None and now < coupon.starts_at:
        return Trouble("coupon_not_yet", code)
    if coupon.ends_at is not None and now >= coupon.ends_at:
        return Trouble("coupon_ended", code)
    return None


def _merged(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Two platform ids of one variant are one line of the shop's cart."""
    found: dict[tuple[str, str], Line] = {}
    for line in lines:
        key = (line.product_id, line.variant_id)
        before = found.get(key)
        found[key] = line if before is None else replace(line, quantity=line.quantity + before.quantity)
    return tuple(found.values())
