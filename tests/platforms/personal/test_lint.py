"""What is found before an upload, and what is sent all the same."""

from hashlib import sha256

import pytest

from vitrin.platforms.personal.lint import findings, prepare
from vitrin.platforms.personal.model import Field, Person
from vitrin.platforms.personal.rules import DIALECTS, GOOGLE, META_AUDIENCE, META_EVENTS, PINTEREST, TIKTOK


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


NOBODY = Person()
JANE = hashed("jane@example.org")


@pytest.mark.parametrize(
    ("raw", "codes"),
    [
        ("jane@example.org", ()),
        (" Jane@Example.org ", ("unnormalised",)),
        ("info@example.org", ("role_address",)),
        ("NoReply+x@example.org", ("unnormalised", "role_address")),
        ("", ("blank",)),
        ("  ", ("blank",)),
        ("NULL", ("blank",)),
        ("jane.example.org", ("email_invalid",)),
        ("jane@localhost", ("email_invalid",)),
        (JANE, ("already_hashed",)),
        (JANE.upper(), ("already_hashed",)),
        ("5d41402abc4b2a76b9719d911017c592", ("already_hashed",)),
        ("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", ("hash_kind_unsupported",)),
        (hashed(""), ("hash_of_nothing",)),
        (hashed("null"), ("hash_of_nothing",)),
    ],
)
def test_addresses(raw: str, codes: tuple[str, ...]) -> None:
    assert findings(META_EVENTS, Field.EMAIL, raw, NOBODY) == codes


def test_only_meta_takes_md5() -> None:
    md5 = "5d41402abc4b2a76b9719d911017c592"
    taken = [name for name, one in DIALECTS.items() if one.digest(Field.EMAIL, md5) == md5]
    assert taken == ["meta_events", "meta_audience"]
    assert findings(PINTEREST, Field.EMAIL, md5, NOBODY) == ("hash_kind_unsupported",)


@pytest.mark.parametrize(
    ("raw", "country", "codes", "digits"),
    [
        ("+49 (89) 123-456", "", (), "4989123456"),
        ("0049 89 123456", "", (), "4989123456"),
        ("089 123456", "", ("phone_without_country",), ""),
        ("089 123456", "DE", ("phone_country_added",), "4989123456"),
        ("02 1234 5678", "IT", ("phone_country_added",), "390212345678"),
        ("4989123456", "de", ("phone_country_added",), "4989123456"),
        ("4989123456", "", ("phone_without_country",), ""),
        ("800 555 0100", "US", ("phone_country_added",), "18005550100"),
        ("12", "DE", ("phone_invalid",), ""),
        ("call me 5550100", "US", ("phone_invalid",), ""),
        ("089 123456", "ZZ", ("phone_invalid",), ""),
        ("+49 89 1234567890123456", "", ("phone_without_country",), ""),
    ],
)
def test_phones(raw: str, country: str, codes: tuple[str, ...], digits: str) -> None:
    person = Person(phones=(raw,), country=country)
    assert findings(META_EVENTS, Field.PHONE, raw, person) == codes
    prepared = prepare(person, META_EVENTS, [Field.PHONE])
    assert prepared.values.get(Field.PHONE, ()) == ((hashed(digits),) if digits else ())
    with_plus = prepare(person, TIKTOK, [Field.PHONE]).values.get(Field.PHONE, ())
    assert with_plus == ((hashed(f"+{digits}"),) if digits else ())


def test_a_hash_of_the_hash_is_found_beside_the_plain_value_or_the_hash() -> None:
    twice = hashed(JANE)
    for first in ("jane@example.org", JANE):
        prepared = prepare(Person(emails=(first, twice)), META_EVENTS, [Field.EMAIL])
        assert prepared.values == {Field.EMAIL: (JANE,)}
        assert [one.code for one in prepared.left_out] == ["hashed_twice"]
    typed = "Jane@Example.org"
    prepared = prepare(Person(emails=(typed, hashed(typed))), META_EVENTS, [Field.EMAIL])
    assert prepared.values == {Field.EMAIL: (JANE,)}
    assert [one.code for one in prepared.left_out] == ["hashed_unnormalised"]


def test_one_person_is_one_row_with_every_address_once() -> None:
    person = Person(
        emails=("jane@example.org", "JANE@example.org", "bad", JANE),
        phones=("+49 89 123456",),
        first_name="Raphaël",
        last_name="O'Neil-Smith",
        gender="Female",
        birth_date="1990-12-31",
        city="São Paulo",
        state="SP",
        postal_code="01310-100",
        country="BR",
        external_id=" c-1 ",
        mobile_ad_ids=("AB-CD",),
    )
    assert repr(person) == (
        "Person(email=4, phone=1, first_name=1, last_name=1, gender=1, birth_date=1, city=1, state=1, postal_code=1, "
        "country=1, external_id=1, mobile_ad_id=1)"
    )
    meta = prepare(person, META_EVENTS)
    assert meta.values[Field.EMAIL] == (JANE,)
    assert [one.code for one in meta.left_out] == ["email_invalid"]
    assert [one.code for one in meta.warnings] == ["unnormalised", "already_hashed"]
    assert all("jane" not in f"{one}".lower() for one in (*meta.left_out, *meta.warnings))
    plain = {name: DIALECTS["meta_events"].normalise(name, person.values(name)[0]) for name in meta.values}
    assert (plain[Field.FIRST_NAME], plain[Field.LAST_NAME]) == ("raphaël", "o'neil-smith")
    assert (plain[Field.CITY], plain[Field.POSTAL_CODE], plain[Field.GENDER]) == ("sãopaulo", "01310", "f")
    assert (plain[Field.BIRTH_DATE], plain[Field.COUNTRY]) == ("19901231", "br")
    audience = {
        name: META_AUDIENCE.normalise(name, person.values(name)[0])
        for name in (Field.FIRST_NAME, Field.LAST_NAME, Field.CITY, Field.POSTAL_CODE)
    }
    assert audience == {
        Field.FIRST_NAME: "raphal",
        Field.LAST_NAME: "oneilsmith",
        Field.CITY: "sopaulo",
        Field.POSTAL_CODE: "01310",
    }
    assert META_AUDIENCE.digest(Field.EXTERNAL_ID, " c-1 ") == "c-1"
    pins = {name: PINTEREST.normalise(name, person.values(name)[0]) for name in PINTEREST.normalisers}
    assert (pins[Field.FIRST_NAME], pins[Field.LAST_NAME], pins[Field.CITY]) == (
        "raphaël",
        "oneilsmith",
        "sãopaulo",
    )
    assert (pins[Field.STATE], pins[Field.POSTAL_CODE], pins[Field.MOBILE_AD_ID]) == (
        "sp",
        "01310100",
        "ab-cd",
    )
    assert prepare(person, GOOGLE).values[Field.COUNTRY] == ("BR",)


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    odd = ["a@b.c d@e.f", "", " x@y.org", "ü@x.org", "u@ÜBER.org", JANE, "bad", ".dots@x.org.", "a@b@c.de"]
    clean = [f"Shopper.{number}@Example.org" for number in range(700)]
    for dialect in (META_EVENTS, META_AUDIENCE, GOOGLE, PINTEREST):
        for batch in (clean, odd, [*clean, *odd], [*odd, *clean, "x\ny@z.org"], []):
            assert dialect.digests(Field.EMAIL, batch) == [dialect.digest(Field.EMAIL, one) for one in batch]
