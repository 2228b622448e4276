"""JSON to a rule: `{"version": 1, "who": <condition>}`. Every problem is named with its path and what to do.

deploy/rules.md documents the language, `schema` exports it as JSON Schema; parsing is stricter than the schema where a
schema cannot say it (depth, number of leaves, windows that must be longer than others).
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from vitrin.retargeting.audiences.language import words
from vitrin.retargeting.audiences.language.events import EVENT_KEYS, read_event
from vitrin.retargeting.audiences.language.nodes import (
    All,
    Consent,
    InAudience,
    Market,
    Node,
    Not,
    Rule,
    Some,
    leaves,
)
from vitrin.retargeting.audiences.language.reading import Object, Reader
from vitrin.retargeting.audiences.language.refusals import Problem, RuleRefused

VERSION: Final = 1
KINDS: Final = ("all", "any", "not", "event", "market", "consent", "audience")


def parse_json(text: str | bytes) -> Rule:
    """Raises RuleRefused."""
    if len(text) > words.RULE_BYTES_MAX:
        limit = (
            f"the rule has {len(text)} bytes, the limit is {words.RULE_BYTES_MAX}; split it into audiences"
        )
        raise RuleRefused([Problem("rule", limit)])
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RuleRefused([Problem("rule", f"is not JSON: {error}")]) from None
    return parse(value)


def parse(value: Any) -> Rule:
    """Raises RuleRefused."""
    reader = Reader()
    rule = _rule(value, reader)
    if rule is None or reader.problems:
        raise RuleRefused(reader.problems)
    return rule


def _rule(value: Any, reader: Reader) -> Rule | None:
    found = reader.object(value, "rule", '{"version": 1, "who": {"event": "purchase", "within": "30d"}}')
    if found is None:
        return None
    reader.known_keys(found, ("version", "who"), "rule")
    version = found.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version != VERSION:
        reader.problem("rule.version", f"must be {VERSION}, the version of the language")
    if "who" not in found:
        reader.problem("who", f"is missing: a condition with one of {', '.join(KINDS)}")
        return None
    who = _condition(found["who"], "who", 1, reader)
    if who is None:
        return None
    count = len(leaves(who))
    if count > words.LEAVES_MAX:
        message = (
            f"{count} conditions, the limit is {words.LEAVES_MAX}; make audiences of parts and refer to them"
        )
        reader.problem("who", message)
    return Rule(who)


def _condition(value: Any, path: str, depth: int, reader: Reader) -> Node | None:
    found = reader.object(value, path, '{"event": "purchase", "within": "30d"}')
    if found is None:
        return None
    if depth > words.DEPTH_MAX:
        reader.problem(
            path, f"is nested deeper than {words.DEPTH_MAX}; make an audience of it and refer to that"
        )
        return None
    kinds = [kind for kind in KINDS if kind in found]
    if len(kinds) != 1:
        had = f"has {' and '.join(kinds)}" if kinds else "has none"
        reader.problem(path, f"needs exactly one of {', '.join(KINDS)}; it {had}")
        return None
    kind = kinds[0]
    if kind == "event":
        reader.known_keys(found, EVENT_KEYS, path)
        return read_event(found, path, reader)
    reader.known_keys(found, ("consent", "is") if kind == "consent" else (kind,), path)
    return _plain_condition(found, kind, path, depth, reader)


def _plain_condition(found: Object, kind: str, path: str, depth: int, reader: Reader) -> Node | None:
    inner = f"{path}.{kind}"
    if kind in ("all", "any"):
        children = _children(found[kind], inner, depth, reader)
        if children is None:
            return None
        return All(children) if kind == "all" else Some(children)
    if kind == "not":
        child = _condition(found["not"], inner, depth + 1, reader)
        return None if child is None else Not(child)
    if kind == "market":
        markets = reader.texts(found["market"], inner)
        return None if markets is None else Market(markets)
    if kind == "consent":
        purpose = reader.choice(found["consent"], inner, words.PURPOSES)
        choice = reader.choice(found.get("is", "granted"), f"{path}.is", words.CHOICES)
        return None if purpose is None or choice is None else Consent(purpose, choice)
    named = found["audience"]
    if not isinstance(named, str) or not 0 < len(named) <= words.VALUE_CHARS_MAX:
        reader.problem(inner, "must be the id of another audience")
        return None
    return InAudience(named)


def _children(value: Any, path: str, depth: int, reader: Reader) -> tuple[Node, ...] | None:
    if not isinstance(value, list) or not value or isinstance(value, Mapping):
        reader.problem(path, "must be a list with at least one condition")
        return None
    if len(value) > words.CHILDREN_MAX:
        reader.problem(
            path, f"has {len(value)} conditions, the limit is {words.CHILDREN_MAX}; make audiences of parts"
        )
        return None
    read = [_condition(child, f"{path}[{number}]", depth + 1, reader) for number, child in enumerate(value)]
    children = tuple(child for child in read if child is not None)
    return children if len(children) == len(read) else None
