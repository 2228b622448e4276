"""Stitching: the rules one by one, and against a reference that knows nothing of profiles."""

import random
from uuid import UUID

import pytest

from vitrin.retargeting.identity.domain import (
    MEMBERS_MAX,
    PARTNERS_MAX,
    Identity,
    Link,
    Node,
    NodeKind,
    Refusal,
    Rule,
    affected,
    belongs_to,
    profile_id,
    resolve,
    why,
)

PHONE_A, PHONE_B, LAPTOP = (Node(NodeKind.VISITOR, name) for name in ("phone-a", "phone-b", "laptop"))
ADA, BOB = Node(NodeKind.CUSTOMER, "ada"), Node(NodeKind.CUSTOMER, "bob")
MAIL = Node(NodeKind.EMAIL, "5f2e")


def login(number: int, one: Node, other: Node) -> Link:
    return Link(number, one, other, Rule.LOGIN, f"event-{number}")


def test_devices_of_one_customer_are_one_person() -> None:
    identity = resolve([login(1, PHONE_A, ADA), login(2, LAPTOP, ADA), login(3, LAPTOP, MAIL)])
    assert identity.profiles() == {ADA: frozenset({PHONE_A, LAPTOP, ADA, MAIL})}


def test_a_shared_device_does_not_make_two_customers_one() -> None:
    identity = resolve([login(1, LAPTOP, ADA), login(2, LAPTOP, BOB), login(3, BOB, PHONE_B)])
    assert identity.refused == {2: Refusal.TWO_CUSTOMERS}
    assert set(identity.profiles().values()) == {frozenset({LAPTOP, ADA}), frozenset({BOB, PHONE_B})}
    assert belongs_to([LAPTOP, BOB]) == BOB, "what Bob does on it while logged in is Bob's"


def test_taking_a_link_back_gives_each_part_its_name_and_a_refused_link_its_chance() -> None:
    links = [login(1, LAPTOP, ADA), login(2, LAPTOP, BOB), login(3, PHONE_A, ADA)]
    before, after = resolve(links), resolve(links, without=frozenset({1}))
    assert before.root(LAPTOP) == ADA
    assert after.refused == {}
    assert set(after.profiles().values()) == {frozenset({LAPTOP, BOB}), frozenset({PHONE_A, ADA})}
    assert resolve(links).profiles() == before.profiles(), "and given again, all is as it was"


def test_an_address_on_everybodys_order_joins_nobody_from_then_on() -> None:
    most = PARTNERS_MAX["email"]
    buyers = [Node(NodeKind.VISITOR, f"v{number:03}") for number in range(most + 5)]
    identity = resolve(login(number, buyer, MAIL) for number, buyer in enumerate(buyers))
    assert identity.too_common(MAIL)
    assert list(identity.refused.values()) == [Refusal.TOO_COMMON] * 5
    assert identity.root(buyers[-1]) == buyers[-1]


def test_a_profile_has_an_end() -> None:
    identity = Identity()
    for number in range(MEMBERS_MAX + 3):
        identity.add(login(number, ADA, Node(NodeKind.VISITOR, f"bot-{number}")))
    assert len(identity.members(ADA)) == MEMBERS_MAX
    assert set(identity.refused.values()) == {Refusal.TOO_MANY_MEMBERS}


def test_the_chain_between_two_devices_is_told() -> None:
    identity = resolve(
        [login(1, PHONE_A, ADA), login(2, ADA, MAIL), login(3, MAIL, LAPTOP), login(4, PHONE_A, MAIL)]
    )
    chain = why(identity, PHONE_A, LAPTOP)
    assert chain is not None
    assert [one.number for one in chain] == [4, 3]
    identity.see(PHONE_B, 9)
    assert why(identity, PHONE_B, ADA) is None
    assert why(identity, ADA, ADA) == []


def test_a_profile_is_named_by_brand_and_first_node() -> None:
    one, other = UUID(int=1), UUID(int=2)
    assert profile_id(one, ADA) == profile_id(one, Node(NodeKind.CUSTOMER, "ada"))
    assert len({profile_id(one, ADA), profile_id(other, ADA), profile_id(one, BOB)}) == 3
    assert profile_id(one, ADA).version == 8


@pytest.mark.parametrize("links", [[login(2, ADA, MAIL), login(1, ADA, LAPTOP)], [login(1, ADA, ADA)]])
def test_what_is_no_link_is_refused(links: list[Link]) -> None:
    identity = Identity()
    for link in links[:-1]:
        identity.add(link)
    with pytest.raises(ValueError, match="link"):
        identity.add(links[-1])


def reference(links: list[Link]) -> set[frozenset[Node]]:
    """Sets of nodes, joined one link after the other; partners counted from the start each time."""
    groups = [{node} for node in {node for link in links for node in (link.first, link.second)}]
    for place, link in enumerate(links):
        first, second = (next(one for one in groups if node in one) for node in (link.first, link.second))
        seen = links[: place + 1]
        common = False
        for node in (link.first, link.second):
            partners = {
                other
                for one in seen
                for node_of, other in ((one.first, one.second), (one.second, one.first))
                if node_of == node
            }
            common |= len(partners) > PARTNERS_MAX.get(node.kind, 10**9)
        joined = first | second
        customers = sum(node.kind is NodeKind.CUSTOMER for node in joined)
        if first is not second and not common and customers <= 1:
            groups = [one for one in groups if one is not first and one is not second] + [joined]
    return {frozenset(one) for one in groups}


@pytest.mark.parametrize("seed", range(60))
def test_random_links_give_what_the_reference_gives_and_any_may_be_taken_back(seed: int) -> None:
    rng = random.Random(seed)
    nodes = [Node(kind, f"{kind}-{number}") for kind in NodeKind for number in range(rng.randint(1, 9))]
    links = [login(number, *rng.sample(nodes, 2)) for number in range(rng.randint(1, 60))]
    identity = resolve(rng.sample(links, len(links)))
    assert set(identity.profiles().values()) == reference(links)
    for root, members in identity.profiles().items():
        assert root == min(
            members, key=lambda one: (identity.born[one], list(NodeKind).index(one.kind), one.value)
        )
        for one in members:
            chain = why(identity, root, one)
            assert chain is not None
            assert len(chain) < len(members)
    back = rng.choice(links)
    part = affected(back.first, links)
    near = [one for one in links if one.first in part]
    whole, only = (resolve(some, without=frozenset({back.number})) for some in (links, near))
    assert {root: some for root, some in whole.profiles().items() if root in part} == only.profiles()
    left = [one for one in links if one is not back]
    assert {some for some in whole.profiles().values() if len(some) > 1} == {
        some for some in reference(left) if len(some) > 1
    }
