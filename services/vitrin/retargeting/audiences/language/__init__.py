"""The rule language: JSON in, a tree of conditions out, with its canonical form, hash and limits."""

from vitrin.retargeting.audiences.language.canonical import canonical, canonical_json, rule_hash
from vitrin.retargeting.audiences.language.nodes import Rule
from vitrin.retargeting.audiences.language.order import evaluation_order
from vitrin.retargeting.audiences.language.parse import parse, parse_json
from vitrin.retargeting.audiences.language.refusals import Problem, RuleRefused

__all__ = [
    "Problem",
    "Rule",
    "RuleRefused",
    "canonical",
    "canonical_json",
    "evaluation_order",
    "parse",
    "parse_json",
    "rule_hash",
]
