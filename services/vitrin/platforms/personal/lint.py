"""What is wrong with a person's data before it is uploaded, in words that say what to do. Pure.

Some findings leave the value out (`left_out`: it could match nobody), the others are `warnings`: it is sent. Every
finding names the field and never shows the value.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from vitrin.platforms.base import Problem
from vitrin.platforms.personal.model import Field, Person
from vitrin.platforms.personal.phones import is_marked, with_country
from vitrin.platforms.personal.rules import HASHES, HASHES_OF_NOTHING, NOTHING, Dialect
from vitrin.platforms.personal.text import PHONE_DIGITS_MIN

_ROLES = (
    "abuse accounting accounts admin administrator billing contact customerservice help hello hostmaster info jobs "
    "kontakt mail marketing no-reply noreply office postmaster privacy sales security service shop support team "
    "webmaster"
)
ROLES: Final = frozenset(_ROLES.split())
"""Local parts of mailboxes that belong to nobody in particular."""

_FIXES: Final[Mapping[str, tuple[str, str]]] = {
    "blank": ("The field holds nothing, or a word for nothing.", "Leave the field out in the export."),
    "unnormalised": (
        "The value has capitals or white space that the hash must not have.",
        "Nothing: Vitrin normalises before it hashes. A list that is hashed elsewhere must be normalised there.",
    ),
    "already_hashed": (
        "The value is a hash already. It is passed on as it is and nobody can see whether it was normalised before.",
        "Give Vitrin the plain value: it is sealed here and hashed for each network by that network's rule.",
    ),
    "hash_kind_unsupported": (
        "The value is a hash of a kind that the network does not take.",
        "Give the plain value, or SHA-256 in hex.",
    ),
    "hash_of_nothing": ("The value is the hash of an empty field.", "Hash no empty fields in the export."),
    "hashed_twice": (
        "The value is the hash of the person's hash: it matches nobody.",
        "Switch hashing off in the tool before Vitrin, or in the export.",
    ),
    "hashed_unnormalised": (
        "The value is the hash of the person's address as it was typed, with capitals or spaces: it matches nobody.",
        "Hash the trimmed lower-case address, or give Vitrin the plain value.",
    ),
    "email_invalid": ("This is no e-mail address.", "Correct it in the shop."),
    "role_address": (
        "The mailbox belongs to a role (such as info@) and rarely to a person with an account at the network.",
        "Nothing; a list of such addresses will match few people.",
    ),
    "phone_invalid": ("This is no phone number.", "Correct it in the shop."),
    "phone_without_country": (
        "The phone number has no country code, and the person no country that it could be read in.",
        "Store phone numbers as +<country code><number> in the shop, or give the person's country.",
    ),
    "phone_country_added": (
        "The phone number has no country code; that of the person's country was added.",
        "Nothing, where the country is right.",
    ),
    "invalid": ("The network could not use this value.", "Correct it in the shop."),
    "no_identifier": (
        "Nothing of the person is left that the network could match.",
        "Collect an e-mail address or a phone number with country code.",
    ),
}
_WARNINGS: Final = frozenset({"unnormalised", "already_hashed", "role_address", "phone_country_added"})


@dataclass(frozen=True, slots=True)
class Prepared:
    """`values`: per field what is sent, in the order given and each once."""

    values: Mapping[Field, tuple[str, ...]] = field(repr=False)
    left_out: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def problem(code: str, name: str) -> Problem:
    """A finding in words; `code` is one of the lint's own."""
    message, fix = _FIXES[code]
    return Problem(code, name, message, fix)


def prepare(person: Person, dialect: Dialect, fields: Iterable[Field] | None = None) -> Prepared:
    """Every value that the network takes, normalised and hashed by its rule, and what was found on the way.
    `fields`: only these; None: all of the dialect."""
    values: dict[Field, tuple[str, ...]] = {}
    found: list[Problem] = []
    for name in fields if fields is not None else dialect.normalisers:
        sent: dict[str, None] = {}
        for raw in person.values(name):
            codes = findings(dialect, name, raw, person)
            found += [problem(code, name) for code in codes]
            if not _WARNINGS.issuperset(codes):
                continue
            whole = with_country(raw, person.country) if "phone_country_added" in codes else raw
            digest = dialect.digest(name, whole)
            if digest:
                sent[digest] = None
        if sent:
            values[name] = tuple(sent)
    return Prepared(
        values,
        tuple(one for one in found if one.code not in _WARNINGS),
        tuple(one for one in found if one.code in _WARNINGS),
    )


def findings(dialect: Dialect, name: Field, raw: str, person: Person) -> tuple[str, ...]:
    """The codes of everything that is to be said about one value."""
    plain = raw.strip().lower()
    if plain in NOTHING:
        return ("blank",)
    if name in dialect.hashed and HASHES.fullmatch(plain):
        return _of_hash(dialect, name, plain, person)
    if name is Field.PHONE:
        return _of_phone(dialect, raw, person)
    codes: list[str] = []
    if not dialect.normalise(name, raw):
        codes.append("email_invalid" if name is Field.EMAIL else "invalid")
    if name is Field.EMAIL:
        if plain != raw:
            codes.append("unnormalised")
        if plain.partition("@")[0].partition("+")[0] in ROLES:
            codes.append("role_address")
    return tuple(codes)


def _of_hash(dialect: Dialect, name: Field, plain: str, person: Person) -> tuple[str, ...]:
    if plain in HASHES_OF_NOTHING:
        return ("hash_of_nothing",)
    if not dialect.is_hash(plain):
        return ("hash_kind_unsupported",)
    for other in person.values(name):
        if HASHES.fullmatch(other.strip().lower()):
            once = other.strip().lower()
            if once != plain and sha256(once.encode()).hexdigest() == plain:
                return ("hashed_twice",)
            continue
        right = dialect.digest(name, other)
        if plain == sha256(right.encode()).hexdigest():
            return ("hashed_twice",)
        if plain != right and plain == sha256(other.encode(errors="surrogatepass")).hexdigest():
            return ("hashed_unnormalised",)
    return ("already_hashed",)


def _of_phone(dialect: Dialect, raw: str, person: Person) -> tuple[str, ...]:
    if sum(char.isdigit() for char in raw) < PHONE_DIGITS_MIN or any(char.isalpha() for char in raw):
        return ("phone_invalid",)
    if is_marked(raw):
        return () if dialect.normalise(Field.PHONE, raw) else ("phone_invalid",)
    if not person.country.strip():
        return ("phone_without_country",)
    return ("phone_country_added",) if with_country(raw, person.country) else ("phone_invalid",)
