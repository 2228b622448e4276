"""A person as our own stores know them, in plain text. It never appears in a repr, log line or metric."""

from dataclasses import dataclass
from enum import StrEnum


class Field(StrEnum):
    """Kinds of personal data that some platform matches by."""

    EMAIL = "email"
    PHONE = "phone"
    FIRST_NAME = "first_name"
    LAST_NAME = "last_name"
    GENDER = "gender"
    BIRTH_DATE = "birth_date"
    CITY = "city"
    STATE = "state"
    POSTAL_CODE = "postal_code"
    COUNTRY = "country"
    EXTERNAL_ID = "external_id"
    MOBILE_AD_ID = "mobile_ad_id"
    HANDLE = "handle"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Person:
    """What identifies one person. Text as it came, "" and () mean absent; several addresses of one person are one
    person (networks match on any of them), never several rows.

    `phones`: best with country code (+49..., 0049...); without one they are read in `country` (`phones`), and left out
    where that is unknown. `birth_date`: ISO 8601
    (1990-12-31) or YYYYMMDD. `state`: the code of a region where it has one (CA). `country`: ISO 3166-1 alpha-2.
    `external_id`: our own id of the person, the same in every audience and event. `mobile_ad_ids`: IDFA or GAID.
    A value may also be a SHA-256 in hex that somebody else made of the normalised value: it is passed on as it is.
    """

    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    first_name: str = ""
    last_name: str = ""
    gender: str = ""
    birth_date: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""
    external_id: str = ""
    mobile_ad_ids: tuple[str, ...] = ()

    def __repr__(self) -> str:
        named = [f"{field}={len(values)}" for field in Field if (values := self.values(field))]
        return f"Person({', '.join(named)})"

    def values(self, field: Field) -> tuple[str, ...]:
        """Everything that is given for a field."""
        many = {Field.EMAIL: self.emails, Field.PHONE: self.phones, Field.MOBILE_AD_ID: self.mobile_ad_ids}
        if field in many:
            return many[field]
        one: str = "" if field is Field.HANDLE else getattr(self, field)
        return (one,) if one else ()
