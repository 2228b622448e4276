"""Which platform wants what: one dialect per platform and, at Meta, per interface.

One person has a different phone hash at every platform, so hashing belongs here and not in a shared model. Sources: the
platforms' own SDKs and pages, collected as rules with test vectors in the shared specs (`pii_rules.json`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import md5, sha1, sha256
from typing import Final

from vitrin.platforms.personal import text
from vitrin.platforms.personal.model import Field

Normaliser = Callable[[str], str]
"""Plain text to the form that is hashed; "" where the platform could not use it."""

SHA256_HEX: Final = re.compile(r"[a-f0-9]{64}")
CHUNK: Final = 4_000
"""Values that are looked at together, at first."""
NEIGHBOURS: Final = 32
_CLEAN_EMAILS: Final = re.compile(rb"(?:[!-\-/-?A-~][!-?A-~]*+@[!-\-/-?A-~]++\.[!-?A-~]++(?<!\.)\n)*+")
"""Lines of printable ASCII with one "@", a dot behind it and none at the ends: every platform's rule for addresses
leaves them as they are, once they are lower case."""
_LOWER_ONLY: Final = frozenset({text.email, text.meta_cell_email})
HASHES: Final = re.compile(r"[a-f0-9]{32}|[a-f0-9]{40}|[a-f0-9]{64}")
"""MD5, SHA-1, SHA-256 in hex; nobody's name, address or number looks so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """`normalisers`: the fields that the platform takes. `hashed`: those that are hashed after; the others go plain.
    `passes`: hashes that are passed on as they are."""

    name: str
    normalisers: Mapping[Field, Normaliser]
    hashed: frozenset[Field]
    passes: re.Pattern[str] = SHA256_HEX

    def takes(self, field: Field) -> bool:
        return field in self.normalisers

    def is_hash(self, raw: str) -> bool:
        """Whether it is a hash that the platform takes as it is."""
        return self.passes.fullmatch(raw.strip().lower()) is not None

    def normalise(self, field: Field, raw: str) -> str:
        """The form that is hashed. Raises KeyError for a field that the platform does not take."""
        return self.normalisers[field](raw)

    def digest(self, field: Field, raw: str) -> str:
        """What is sent: the hash of the normalised value, the value itself where it goes plain, or a hash that came as
        one. "" for what cannot be used."""
        return self.digests(field, (raw,))[0]

    def digests(self, field: Field, raws: Sequence[str]) -> list[str]:
        """The same for many, in their order; made for lists of a million."""
        normalise = self.normalisers[field]
        if field not in self.hashed:
            return [normalise(raw) for raw in raws]
        if normalise not in _LOWER_ONLY:
            return [self._digest(normalise, raw) for raw in raws]
        found: list[str] = []
        for start in range(0, len(raws), CHUNK):
            found += self._emails(normalise, raws[start : start + CHUNK])
        return found

    def _emails(self, normalise: Normaliser, raws: Sequence[str]) -> list[str]:
        """Addresses that need nothing but lower case are looked at and lowered together, which is what makes a list
        of them cost little more than its SHA-256; only the neighbours of any other value are taken one by one."""
        together = "\n".join(raws).encode(errors="surrogatepass").lower()
        lines = together.split(b"\n")
        if len(lines) == len(raws) and _CLEAN_EMAILS.fullmatch(together + b"\n"):
            return [sha256(line).hexdigest() for line in lines]
        if len(raws) <= NEIGHBOURS:
            return [self._digest(normalise, raw) for raw in raws]
        middle = len(raws) // 2
        return self._emails(normalise, raws[:middle]) + self._emails(normalise, raws[middle:])

    def _digest(self, normalise: Normaliser, raw: str) -> str:
        if self.is_hash(raw):
            return raw.strip().lower()
        plain = normalise(raw)
        return sha256(plain.encode(errors="surrogatepass")).hexdigest() if plain else ""


_NAMES = frozenset({Field.FIRST_NAME, Field.LAST_NAME})
_DEMOGRAPHIC = frozenset(
    {
        *_NAMES,
        *(Field.GENDER, Field.BIRTH_DATE, Field.CITY, Field.STATE, Field.POSTAL_CODE, Field.COUNTRY),
    }
)
_CONTACT = frozenset({Field.EMAIL, Field.PHONE})

META_EVENTS: Final = Dialect(
    name="meta_events",
    normalisers={
        Field.EMAIL: text.email,
        Field.PHONE: text.meta_phone,
        Field.FIRST_NAME: text.trimmed_lower,
        Field.LAST_NAME: text.trimmed_lower,
        Field.GENDER: text.gender,
        Field.BIRTH_DATE: text.birth_date,
        Field.CITY: text.meta_place,
        Field.STATE: text.meta_place,
        Field.POSTAL_CODE: text.meta_zip,
        Field.COUNTRY: text.country,
        Field.EXTERNAL_ID: text.trimmed_lower,
        Field.MOBILE_AD_ID: text.trimmed_lower,
    },
    hashed=_CONTACT | _DEMOGRAPHIC | {Field.EXTERNAL_ID},
    passes=re.compile(r"[a-f0-9]{32}|[a-f0-9]{64}"),
)
META_AUDIENCE: Final = Dialect(
    name="meta_audience",
    normalisers={
        Field.EMAIL: text.meta_cell_email,
        Field.PHONE: text.meta_cell_phone,
        Field.FIRST_NAME: text.meta_cell_letters,
        Field.LAST_NAME: text.meta_cell_letters,
        Field.GENDER: text.gender,
        Field.BIRTH_DATE: text.birth_date,
        Field.CITY: text.meta_cell_letters,
        Field.STATE: text.meta_cell_letters,
        Field.POSTAL_CODE: text.meta_cell_zip,
        Field.COUNTRY: text.country,
        Field.EXTERNAL_ID: text.trimmed,
        # The SDK hashes MADID in a multi-key schema, other integrations send it plain (unverified): plain.
        Field.MOBILE_AD_ID: text.trimmed_lower,
    },
    hashed=_CONTACT | _DEMOGRAPHIC,
    passes=re.compile(r"[a-f0-9]{32}|[a-f0-9]{64}"),
)
TIKTOK: Final = Dialect(
    name="tiktok",
    normalisers={
        Field.EMAIL: text.email,
        Field.PHONE: text.e164,
        Field.EXTERNAL_ID: text.trimmed,
        Field.MOBILE_AD_ID: text.trimmed_lower,
    },
    hashed=_CONTACT | {Field.EXTERNAL_ID, Field.MOBILE_AD_ID},
)
PINTEREST: Final = Dialect(
    name="pinterest",
    normalisers={
        Field.EMAIL: text.email,
        Field.PHONE: text.pinterest_phone,
        Field.FIRST_NAME: text.joined,
        Field.LAST_NAME: text.joined,
        Field.GENDER: text.gender_or_neither,
        Field.BIRTH_DATE: text.birth_date,
        Field.CITY: text.letters,
        Field.STATE: text.two_letters,
        Field.POSTAL_CODE: text.digits_only,
        Field.COUNTRY: text.country,
        Field.EXTERNAL_ID: text.trimmed,
        Field.MOBILE_AD_ID: text.trimmed_lower,
    },
    hashed=_CONTACT | _DEMOGRAPHIC | {Field.EXTERNAL_ID, Field.MOBILE_AD_ID},
)
SNAPCHAT: Final = Dialect(
    name="snapchat",
    normalisers={
        Field.EMAIL: text.email,
        Field.PHONE: text.snap_phone,
        Field.FIRST_NAME: text.without_punctuation,
        Field.LAST_NAME: text.without_punctuation,
        Field.GENDER: text.gender,
        Field.CITY: text.joined,
        Field.STATE: text.two_letters,
        Field.POSTAL_CODE: text.joined,
        Field.COUNTRY: text.country,
        Field.MOBILE_AD_ID: text.trimmed_lower,
    },
    hashed=_CONTACT | (_DEMOGRAPHIC - {Field.BIRTH_DATE}),
)
GOOGLE: Final = Dialect(
    name="google",
    normalisers={
        Field.EMAIL: text.gmail_folded,
        Field.PHONE: text.e164,
        Field.FIRST_NAME: text.trimmed_lower,
        Field.LAST_NAME: text.trimmed_lower,
        Field.POSTAL_CODE: text.trimmed,
        Field.COUNTRY: text.country_upper,
    },
    hashed=_CONTACT | _NAMES,
)
X: Final = Dialect(
    name="x",
    normalisers={
        Field.EMAIL: text.email,
        Field.PHONE: text.e164,
        Field.HANDLE: text.handle,
        Field.MOBILE_AD_ID: text.trimmed_lower,
        Field.EXTERNAL_ID: text.trimmed,
    },
    hashed=_CONTACT | {Field.HANDLE, Field.MOBILE_AD_ID},
)
LINKEDIN: Final = Dialect(
    name="linkedin",
    normalisers={
        Field.EMAIL: text.email,
        Field.FIRST_NAME: text.trimmed,
        Field.LAST_NAME: text.trimmed,
        Field.COUNTRY: text.country_upper,
    },
    hashed=frozenset({Field.EMAIL}),
)
DIALECTS: Final[Mapping[str, Dialect]] = {
    one.name: one for one in (META_EVENTS, META_AUDIENCE, TIKTOK, PINTEREST, SNAPCHAT, GOOGLE, X, LINKEDIN)
}

NOTHING: Final = ("", " ", "null", "none", "undefined", "nan", "n/a", "-")
HASHES_OF_NOTHING: Final = frozenset(
    hashed(word.encode()).hexdigest() for word in NOTHING for hashed in (sha256, sha1, md5)
)
"""What an exporting tool makes of an empty cell: thousands of rows with the same hash."""
