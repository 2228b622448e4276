"""Whatever a shop has in its fields: no rule fails, and what a rule made is left as it is by the same rule."""

from hypothesis import given, settings
from hypothesis import strategies as st

from vitrin.platforms.personal.lint import findings, prepare
from vitrin.platforms.personal.model import Field, Person
from vitrin.platforms.personal.rules import DIALECTS, SHA256_HEX

ANY = st.one_of(
    st.text(alphabet=st.characters(codec=None), max_size=40),
    st.text(alphabet="aA.@ +0123456789-()ü\n", max_size=20),
    st.from_regex(r"[A-Za-z.]{1,8}@[a-z.]{1,8}\.[a-z]{2}", fullmatch=True),
    st.from_regex(r"\+?0{0,3}[1-9][0-9 ()-]{5,14}", fullmatch=True),
    st.from_regex(r"[0-9a-fA-F]{64}", fullmatch=True),
)


@settings(max_examples=150, deadline=None)
@given(raw=ANY)
def test_every_rule_takes_every_text(raw: str) -> None:
    for dialect in DIALECTS.values():
        for field, rule in dialect.normalisers.items():
            plain = rule(raw)
            if field is not Field.PHONE or plain.startswith("+"):
                assert rule(plain) == plain, (dialect.name, field)
            digest = dialect.digest(field, raw)
            if field in dialect.hashed:
                assert digest == "" or SHA256_HEX.fullmatch(digest) or dialect.is_hash(digest)


@settings(max_examples=100, deadline=None)
@given(raws=st.lists(ANY, max_size=80))
def test_many_are_hashed_as_one_is(raws: list[str]) -> None:
    for name in ("meta_events", "meta_audience", "pinterest"):
        dialect = DIALECTS[name]
        assert dialect.digests(Field.EMAIL, raws) == [dialect.digest(Field.EMAIL, one) for one in raws]


@settings(max_examples=100, deadline=None)
@given(raws=st.lists(ANY, max_size=4), country=st.sampled_from(["", "DE", "it", "US", "zz"]))
def test_a_person_of_any_text_is_prepared_and_nothing_plain_is_shown(raws: list[str], country: str) -> None:
    person = Person(emails=tuple(raws), phones=tuple(raws), city="".join(raws), country=country)
    for dialect in DIALECTS.values():
        prepared = prepare(person, dialect)
        shown = f"{prepared.left_out}{prepared.warnings}{person!r}{prepared!r}"
        assert all(raw not in shown for raw in raws if "@" in raw)
        for raw in raws:
            assert findings(dialect, Field.EMAIL, raw, person) is not None
