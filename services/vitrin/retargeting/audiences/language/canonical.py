"""One text for rules that mean the same by their form: nested alls flattened, doubles and double negations gone,
sorted.

Its hash names a rule's version: writing the same rule another way makes no new version and no backfill.
"""

import hashlib
import json
from typing import Any

from vitrin.retargeting.audiences.language.nodes import (
    All,
    Consent,
    Count,
    FirstOlder,
    InAudience,
    Market,
    Match,
    Node,
    Not,
    Rule,
    Some,
    Sum,
    Top,
    Unfollowed,
)


def canonical(rule: Rule) -> Rule:
    return Rule(normal(rule.who))


def canonical_json(rule: Rule) -> str:
    return node_key(normal(rule.who))


def rule_hash(rule: Rule) -> str:
    """sha256, hexadecimal."""
    return hashlib.sha256(canonical_json(rule).encode()).hexdigest()


def node_key(node: Node | Match) -> str:
    """Equal for equal conditions; compact JSON with sorted keys."""
    return json.dumps(_plain(node), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def normal(node: Node) -> Node:
    if isinstance(node, Not):
        child = normal(node.child)
        return child.child if isinstance(child, Not) else Not(child)
    if isinstance(node, All | Some):
        flat: dict[str, Node] = {}
        for child in node.children:
            found = normal(child)
            for part in found.children if isinstance(found, type(node)) else (found,):
                flat.setdefault(node_key(part), part)
        children = tuple(flat[key] for key in sorted(flat))
        return children[0] if len(children) == 1 else type(node)(children)
    return node


def _plain(node: Node | Match) -> dict[str, Any]:
    match node:
        case All():
            return {"all": [_plain(child) for child in node.children]}
        case Some():
            return {"any": [_plain(child) for child in node.children]}
        case Not():
            return {"not": _plain(node.child)}
        case Match():
            return _plain_match(node)
        case Market():
            return {"market": sorted(node.markets)}
        case Consent():
            return {"consent": node.purpose, "is": node.choice}
        case InAudience():
            return {"audience": node.audience}
        case _:
            return _plain_event(node)


def _plain_event(node: Count | Sum | FirstOlder | Unfollowed | Top) -> dict[str, Any]:
    match node:
        case Count():
            own: dict[str, Any] = {"count": node.at_least, "within": node.within_ms}
        case Sum():
            own = {"sum": node.at_least, "currency": node.currency, "within": node.within_ms}
        case FirstOlder():
            own = {"first_older": node.age_ms}
        case Unfollowed():
            own = {"no_later": _plain_match(node.later), "within": node.within_ms}
        case Top():
            own = {
                "top": node.percent,
                "by": node.by,
                "currency": node.currency,
                "within": node.within_ms,
            }
    return _plain_match(node.match) | own


def _plain_match(match: Match) -> dict[str, Any]:
    plain: dict[str, Any] = {"event": sorted(set(match.events))}
    for name, values in (("item", match.items), ("category", match.categories), ("brand", match.brands)):
        if values:
            plain[name] = sorted(set(values))
    if match.price is not None:
        plain["price"] = [match.price.currency, match.price.at_least, match.price.below]
    return plain
