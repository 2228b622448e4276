"""References between audiences: in which order they are evaluated, and what is refused."""

from collections.abc import Mapping

from vitrin.retargeting.audiences.language import words
from vitrin.retargeting.audiences.language.nodes import Rule
from vitrin.retargeting.audiences.language.refusals import Problem, RuleRefused


def evaluation_order(rules: Mapping[str, Rule]) -> tuple[str, ...]:
    """Audience ids, each after those it refers to; otherwise by id.

    Raises RuleRefused for too many audiences, unknown ones, those that refer to themselves, cycles and long chains.
    """
    if len(rules) > words.AUDIENCES_MAX:
        message = f"{len(rules)} audiences, the limit is {words.AUDIENCES_MAX}; remove some that are not used"
        raise RuleRefused([Problem("audiences", message)])
    unknown = [
        Problem(f"{audience}.who", f"audience {named!r} does not exist; make it first, or correct the id")
        for audience, rule in sorted(rules.items())
        for named in rule.references()
        if named not in rules
    ]
    if unknown:
        raise RuleRefused(unknown)
    lengths: dict[str, int] = {}
    for audience in sorted(rules):
        _visit(audience, rules, lengths, ())
    return tuple(lengths)


def _visit(audience: str, rules: Mapping[str, Rule], lengths: dict[str, int], path: tuple[str, ...]) -> int:
    if audience in lengths:
        return lengths[audience]
    if audience in path:
        ring = " -> ".join((*path[path.index(audience) :], audience))
        what = "refers to itself" if path[-1] == audience else "refers to itself through others"
        raise RuleRefused([Problem(f"{audience}.who", f"{what} ({ring}); take one of these references out")])
    below = [_visit(named, rules, lengths, (*path, audience)) for named in rules[audience].references()]
    length = 1 + max(below, default=0)
    if length > words.CHAIN_MAX:
        message = (
            f"{length} audiences refer to each other in a row, the limit is {words.CHAIN_MAX}; write some out"
        )
        raise RuleRefused([Problem(f"{audience}.who", message)])
    lengths[audience] = length
    return length
