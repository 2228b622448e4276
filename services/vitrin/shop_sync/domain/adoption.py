"""Adoption: which item of a platform's catalog, put there before us, is which item of ours. Pure.

Three passes, in this order; whoever found its counterpart in one takes no part in the next:

    id     theirs goes by the id that the channel's template makes for ours
    gtin   exactly one of ours and one of theirs has the number
    link   exactly one of ours and one of theirs leads to the page, and their GTINs do not contradict each other

What shares a number or page but is not alone with it is a doubt: told, and never guessed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

HOLDERS_MAX: Final = 50
"""A page that more items than this lead to (a home page) says nothing about any of them."""
GTIN_DIGITS: Final = range(8, 15)
GTIN_DIGITS_MIN: Final = 6
"""Significant ones: what is all zeros but for some digits is a placeholder."""
LINK_CHARS_MAX: Final = 500
"""A longer key is its digest: keys stand in an index."""
TRACKING: Final = frozenset(
    {"fbclid", "gclid", "gbraid", "wbraid", "dclid", "msclkid", "ttclid", "epik", "igshid", "srsltid"}
    | {"mc_cid", "mc_eid", "_ga", "_gl", "yclid", "twclid", "li_fat_id", "sccid", "rdt_cid"}
)
TRACKING_PREFIXES: Final = ("utm_", "pk_", "mtm_", "hsa_")


class How(StrEnum):
    """What told that two items are the same. CHOICE: a person did."""

    ID = "id"
    GTIN = "gtin"
    LINK = "link"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Ours:
    """`platform_id`: what the template makes; "" where it has nothing to make it of. `settled`: it goes by an id of its
    own on the platform already, so it takes no other, but its number and page are not free either."""

    item_id: str
    platform_id: str = ""
    gtin: str = ""
    link: str = ""
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Theirs:
    """`left`: somebody decided that it is none of ours; only the id itself says otherwise."""

    platform_item_id: str
    gtin: str = ""
    link: str = ""
    left: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    item_id: str
    platform_item_id: str
    how: How


@dataclass(frozen=True, slots=True)
class Doubt:
    """These items share `key`; who is who is for a person to say."""

    how: How
    key: str
    item_ids: tuple[str, ...]
    platform_item_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matching:
    matches: tuple[Match, ...]
    doubts: tuple[Doubt, ...]


def gtin_key(text: str) -> str:
    """The number without its form (spaces, dashes, leading zeros); "" where it is none."""
    digits = text.replace(" ", "").replace("-", "")
    if not (digits.isascii() and digits.isdigit() and len(digits) in GTIN_DIGITS):
        return ""
    number = digits.lstrip("0")
    return number if len(number) >= GTIN_DIGITS_MIN else ""


def link_key(text: str) -> str:
    """The page without what does not change it: scheme, case of the host, `www.`, a standard port, a slash at the end,
    the fragment, tracking parameters and the order of the others. "" where it is no web address."""
    try:
        parts = urlsplit(text.strip())
        host, port = (parts.hostname or "").rstrip(".").removeprefix("www."), parts.port
    except ValueError:
        return ""
    if parts.scheme.lower() not in {"http", "https"} or not host:
        return ""
    kept = sorted(
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name.lower() not in TRACKING and not name.lower().startswith(TRACKING_PREFIXES)
    )
    place = host if port in {None, 80, 443} else f"{host}:{port}"
    page = place + parts.path.rstrip("/") + (f"?{urlencode(kept)}" if kept else "")
    return page if len(page) <= LINK_CHARS_MAX else blake2b(page.encode(), digest_size=16).hexdigest()


def match(ours: Iterable[Ours], theirs: Iterable[Theirs]) -> Matching:
    """Item ids of `ours`, and platform ids of `theirs`, are each there once. The answer depends on nothing but the
    items and is the same in whatever order they come."""
    mine = {one.item_id: one for one in sorted(ours, key=lambda one: one.item_id)}
    found = {one.platform_item_id: one for one in sorted(theirs, key=lambda one: one.platform_item_id)}
    matches = _by_id(mine, found)
    _leave_out(mine, found, matches)
    found = {key: one for key, one in found.items() if not one.left}
    doubts: list[Doubt] = []
    for how, key_of in _PASSES:
        made, unsure = _by_key(mine, found, how, key_of)
        matches += made
        doubts += unsure
        _leave_out(mine, found, made)
    return Matching(tuple(matches), tuple(_still(doubts, mine, found)))


_Key = Callable[[Ours | Theirs], str]
_PASSES: Final[Sequence[tuple[How, _Key]]] = (
    (How.GTIN, lambda one: one.gtin),
    (How.LINK, lambda one: one.link),
)


def _by_id(mine: Mapping[str, Ours], found: Mapping[str, Theirs]) -> list[Match]:
    """First come first served where a template makes one id of two items; the other says so by itself."""
    taken: set[str] = set()
    matches = []
    for one in mine.values():
        if one.platform_id in found and one.platform_id not in taken and not one.settled:
            taken.add(one.platform_id)
            matches.append(Match(one.item_id, one.platform_id, How.ID))
    return matches


def _by_key(
    mine: Mapping[str, Ours], found: Mapping[str, Theirs], how: How, key_of: _Key
) -> tuple[list[Match], list[Doubt]]:
    groups: dict[str, tuple[list[Ours], list[Theirs]]] = defaultdict(lambda: ([], []))
    for one in mine.values():
        groups[key_of(one)][0].append(one)
    for other in found.values():
        groups[key_of(other)][1].append(other)
    matches: list[Match] = []
    doubts: list[Doubt] = []
    for key, (left, right) in groups.items():
        if not key or not left or not right or max(len(left), len(right)) > HOLDERS_MAX:
            continue
        if len(left) == len(right) == 1:
            if not left[0].settled and _agree(left[0], right[0]):
                matches.append(Match(left[0].item_id, right[0].platform_item_id, how))
            continue
        unsure = [one for one in left if not one.settled and any(_agree(one, other) for other in right)]
        alike = [other for other in right if any(_agree(one, other) for one in unsure)]
        if unsure:
            doubts.append(
                Doubt(
                    how,
                    key,
                    tuple(one.item_id for one in unsure),
                    tuple(other.platform_item_id for other in alike),
                )
            )
    return matches, doubts


def _agree(one: Ours, other: Theirs) -> bool:
    """Variants share a page, and no two products share a number."""
    return not one.gtin or not other.gtin or one.gtin == other.gtin


def _leave_out(mine: dict[str, Ours], found: dict[str, Theirs], matches: Iterable[Match]) -> None:
    for one in matches:
        del mine[one.item_id]
        del found[one.platform_item_id]


def _still(doubts: Iterable[Doubt], mine: Mapping[str, Ours], found: Mapping[str, Theirs]) -> Iterable[Doubt]:
    """What a later pass did not settle."""
    for one in doubts:
        items = tuple(item for item in one.item_ids if item in mine)
        others = tuple(other for other in one.platform_item_ids if other in found)
        if items and others:
            yield Doubt(one.how, one.key, items, others)
