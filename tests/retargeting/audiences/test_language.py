"""Rules: what is taken, what is refused and how that is said, and when two texts are the same rule."""

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.retargeting.audiences.rules import random_rules
from vitrin.retargeting.audiences.language import (
    RuleRefused,
    canonical_json,
    evaluation_order,
    parse,
    parse_json,
    rule_hash,
    words,
)
from vitrin.retargeting.audiences.language.ready import ready_made
from vitrin.retargeting.audiences.language.schema import rule_schema
from vitrin.retargeting.domain.vocabulary import BUSINESS_KEYS, Choice, EventName, Purpose

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
BOUGHT = {"event": "purchase", "within": "30d"}


def rule(who: Any) -> dict[str, Any]:
    return {"version": 1, "who": who}


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ({}, "who: needs exactly one of"),
        ([], "who: must be an object"),
        ({"event": "bought", "within": "1d"}, "who.event[0]: 'bought' is none of page_view"),
        ({"event": "purchase"}, "who.within: is missing"),
        ({"event": "purchase", "within": "400d"}, "who.within: must be longer than nothing and 365d"),
        ({"event": "purchase", "within": "0d"}, "who.within: must be longer than nothing"),
        ({"event": "purchase", "within": 30}, "who.within: must be a duration such as 90s"),
        (
            {"event": "view_item", "within": "ever"},
            "who.within: only purchase, refund, lead are kept for ever",
        ),
        ({"event": "view_item", "first": {"within": "1d"}}, "who.first: only purchase, refund, lead"),
        (BOUGHT | {"idle": "30d"}, "who.idle: must be shorter than within"),
        (BOUGHT | {"count": True}, "who.count.at_least: must be a whole number from 0 to 1000"),
        (BOUGHT | {"count": 0}, "who.count: is met by everybody"),
        (
            BOUGHT | {"count": {"at_least": 3, "at_most": 2}},
            "who.count.at_most: must not be less than at_least",
        ),
        (
            BOUGHT | {"sum": {"currency": "eur", "at_least": 1}},
            "who.sum.currency: must be a currency of ISO 4217",
        ),
        (
            BOUGHT | {"sum": {"currency": "EUR", "at_least": 0}},
            "who.sum.at_least: must be a whole number from 1",
        ),
        (
            BOUGHT | {"sum": {"currency": "EUR", "at_least": -5}},
            "who.sum.at_least: must be a whole number from 1",
        ),
        (BOUGHT | {"sum": {"currency": "EUR"}}, "who.sum: needs at_least, below or both"),
        (BOUGHT | {"sum": {}, "count": 1}, "who: has count and sum; take one"),
        (BOUGHT | {"where": {"colour": "red"}}, "who.where.colour: unknown; here can be item, category"),
        (BOUGHT | {"where": {"item": []}}, "who.where.item: must be a text or a list with at least one"),
        (BOUGHT | {"where": {"item": ["x"] * 501}}, "who.where.item: has 501 values, the limit is 500"),
        (
            BOUGHT | {"top": {"percent": 0, "by": "count"}},
            "who.top.percent: must be a whole number from 1 to 99",
        ),
        (BOUGHT | {"top": {"percent": 5, "by": "sum"}}, "who.top.currency: must be a currency"),
        ({"consent": "ads", "is": "maybe"}, "who.is: must be one of unknown, granted, denied"),
        ({"all": [BOUGHT, {"any": [{"not": {}}]}]}, "who.all[1].any[0].not: needs exactly one of"),
        ({"all": []}, "who.all: must be a list with at least one condition"),
        ({"all": [BOUGHT] * 61}, "who.all: has 61 conditions, the limit is 60"),
        ({"all": [{"any": [BOUGHT] * 31}] * 2}, "who: 62 conditions, the limit is 60"),
    ],
)
def test_a_refusal_names_the_place_and_what_to_do(who: Any, said: str) -> None:
    with pytest.raises(RuleRefused) as refused:
        parse(rule(who))
    assert said in str(refused.value)


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(RuleRefused) as refused:
        parse(
            {
                "version": 2,
                "who": {"all": [{"event": "nothing", "within": "1d"}, {"event": "purchase"}]},
                "x": 1,
            }
        )
    paths = [problem.path for problem in refused.value.problems]
    assert paths == ["rule.x", "rule.version", "who.all[0].event[0]", "who.all[1].within"]


def test_what_is_too_deep_or_too_big_or_no_json_is_refused() -> None:
    deep: Any = BOUGHT
    for _ in range(words.DEPTH_MAX):
        deep = {"not": deep}
    with pytest.raises(RuleRefused, match="nested deeper than 8; make an audience of it"):
        parse(rule(deep))
    with pytest.raises(RuleRefused, match="the limit is 65536; split it"):
        parse_json(json.dumps(rule(BOUGHT)) + " " * 70_000)
    for text in ("{", "[" * 50_000, "\xff"):
        with pytest.raises(RuleRefused, match="is not JSON"):
            parse_json(text)
    with pytest.raises(RuleRefused, match="rule: must be an object"):
        parse_json("null")


def test_the_same_rule_written_otherwise_has_the_same_hash() -> None:
    one = parse(rule({"all": [{"not": {"not": BOUGHT}}, {"all": [{"market": ["FR", "DE"]}, BOUGHT]}]}))
    other = parse(
        rule({"all": [{"market": ["DE", "FR"]}, {"event": ["purchase"], "within": "720h", "count": 1}]})
    )
    assert canonical_json(one) == canonical_json(other)
    assert rule_hash(one) == rule_hash(other)
    assert rule_hash(one) != rule_hash(parse(rule(BOUGHT)))
    assert len(rule_hash(one)) == 64


def test_audiences_are_ordered_after_those_they_refer_to() -> None:
    rules = {
        "a": parse(rule({"audience": "b"})),
        "b": parse(rule({"all": [{"audience": "c"}, {"not": {"audience": "d"}}]})),
        "c": parse(rule(BOUGHT)),
        "d": parse(rule({"audience": "c"})),
    }
    assert evaluation_order(rules) == ("c", "d", "b", "a")


@pytest.mark.parametrize(
    ("references", "said"),
    [
        ({"a": "a"}, "a.who: refers to itself (a -> a)"),
        ({"a": "b", "b": "c", "c": "a"}, "a -> b -> c -> a"),
        ({"a": "x"}, "a.who: audience 'x' does not exist"),
        ({f"a{n:02}": f"a{n + 1:02}" for n in range(12)}, "the limit is 10"),
    ],
)
def test_cycles_unknown_audiences_and_long_chains_are_refused(references: dict[str, str], said: str) -> None:
    rules = {name: parse(rule({"audience": other})) for name, other in references.items()}
    if "a00" in rules:
        rules["a12"] = parse(rule(BOUGHT))
    with pytest.raises(RuleRefused) as refused:
        evaluation_order(rules)
    assert said in str(refused.value)


def test_ready_made_rules_and_random_ones_agree_with_the_schema() -> None:
    validator = jsonschema.Draft202012Validator(rule_schema())
    made = list(ready_made().values())
    for seed in range(40):
        made += random_rules(random.Random(seed), 5).values()
    for one in made:
        validator.validate(one)
        parse_json(json.dumps(one))
    assert len(ready_made()) == 10
    for who in (
        BOUGHT | {"sum": {}},
        BOUGHT | {"count": 1, "sum": {"currency": "EUR", "at_least": 1}},
        {"any": []},
    ):
        assert not validator.is_valid(rule(who))


def test_the_documents_are_those_of_the_code() -> None:
    """Written by `python -m tests.retargeting.audiences.documents`."""
    assert json.loads((DEPLOY / "rules.schema.json").read_text(encoding="utf-8")) == rule_schema()
    text = (DEPLOY / "rules.md").read_text(encoding="utf-8")
    examples = [part.split("```")[0] for part in text.split("```json\n")[1:]]
    assert len(examples) >= 12
    for example in examples:
        parse_json(example)
    for name, made in ready_made().items():
        assert f"`{name}`" in text
        assert made in [json.loads(example) for example in examples], name
    for event in words.EVENTS:
        assert f"`{event}`" in text


def test_rules_speak_the_words_of_the_collector() -> None:
    assert tuple(EventName) == words.SHOPPER_EVENTS
    assert tuple(BUSINESS_KEYS) == words.KEPT_FOR_EVER
    assert tuple(Purpose) == words.PURPOSES
    assert {*Choice, "unknown"} == set(words.CHOICES)
