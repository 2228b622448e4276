"""Stitching, as a pure function of the links in their order of arrival.

A **node** is an identifier of one brand: a visitor (first-party id), a customer (the shop's id), an e-mail or a phone
(as a keyed hash), a click id. A **link** says that one event named two of them together. A **profile** is what accepted
links hold together. The rules:

- A link is accepted unless it would put two customers into one profile (a device that a family shares), or make a
  profile larger than MEMBERS_MAX, or goes through a node that is too common (the shop's own address on every order).
  A link that is not accepted stays, with its reason: it explains, and it counts again when what stood against it goes.
- Links are taken in the order of their arrival. So the same links always give the same profiles.
- A profile is named by its first node (the one that came first), so that its name depends on nothing else: taking a
  link back gives every part the name that it had, or would have had.
- An event belongs to the profile of its strongest node (customer, e-mail, phone, visitor). Events are never rewritten.

`resolve` is the definition. `add` does for one more link what `resolve` would, and looks at two profiles only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

MEMBERS_MAX: Final = 1_000
"""Nodes of a profile."""
PARTNERS_MAX: Final[Mapping[str, int]] = {"email": 20, "phone": 20, "click": 5}
"""Customers and visitors that a node of this kind may be linked with, before it is too common to mean a person."""


class NodeKind(StrEnum):
    """Strongest first: the order in which an event chooses whom it belongs to."""

    CUSTOMER = "customer"
    EMAIL = "email"
    PHONE = "phone"
    VISITOR = "visitor"
    CLICK = "click"


STRENGTH: Final[Mapping[NodeKind, int]] = {kind: place for place, kind in enumerate(NodeKind)}


class Rule(StrEnum):
    """What an event did that named two nodes together."""

    LOGIN = "login"
    ORDER = "order"
    FORM = "form"
    """A lead or a sign-up."""
    CLICK = "click"
    STATED = "stated"
    """The brand said so, by API or import."""


class Refusal(StrEnum):
    """Why a link joins nothing."""

    TWO_CUSTOMERS = "two_customers"
    TOO_MANY_MEMBERS = "too_many_members"
    TOO_COMMON = "too_common"


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """`value`: the id, or the keyed hash of an address or a number in hex; never plain."""

    kind: NodeKind
    value: str


@dataclass(frozen=True, slots=True)
class Link:
    """`number` is its place in the order of arrival, unique within the brand. `event_id` is what it stands on."""

    number: int
    first: Node
    second: Node
    rule: Rule
    event_id: str


@dataclass(slots=True)
class _Profile:
    root: Node
    members: list[Node]
    customer: Node | None


@dataclass(slots=True)
class Identity:
    """Profiles of one brand, or of a part of it that no link leaves.

    `born` says when a node was first seen (a number of arrival); `refused` which links join nothing, and why."""

    born: dict[Node, int] = field(default_factory=dict)
    links: dict[int, Link] = field(default_factory=dict)
    refused: dict[int, Refusal] = field(default_factory=dict)
    _profiles: dict[Node, _Profile] = field(default_factory=dict)
    _partners: dict[Node, set[Node]] = field(default_factory=dict)

    def see(self, node: Node, number: int) -> None:
        """A node that came alone."""
        if node not in self.born:
            self.born[node] = number
            customer = node if node.kind is NodeKind.CUSTOMER else None
            self._profiles[node] = _Profile(node, [node], customer)

    def add(self, link: Link) -> Refusal | None:
        """Takes a link that came later than all others. Raises ValueError for one that did not, or joins a node with
        itself."""
        if link.first == link.second:
            raise ValueError("a link joins two nodes")
        if self.links and link.number <= next(reversed(self.links)):
            raise ValueError("links come in the order of their numbers")
        self.see(link.first, link.number)
        self.see(link.second, link.number)
        self.links[link.number] = link
        for node, other in ((link.first, link.second), (link.second, link.first)):
            self._partners.setdefault(node, set()).add(other)
        refusal = self._refusal(link)
        if refusal is not None:
            self.refused[link.number] = refusal
            return refusal
        self._join(self._profiles[link.first], self._profiles[link.second])
        return None

    def _refusal(self, link: Link) -> Refusal | None:
        first, second = self._profiles[link.first], self._profiles[link.second]
        if first is second:
            return None
        if any(self.too_common(node) for node in (link.first, link.second)):
            return Refusal.TOO_COMMON
        if first.customer is not None and second.customer is not None:
            return Refusal.TWO_CUSTOMERS
        if len(first.members) + len(second.members) > MEMBERS_MAX:
            return Refusal.TOO_MANY_MEMBERS
        return None

    def too_common(self, node: Node) -> bool:
        """Whether it was named with more others than one person has. It joins nothing from then on."""
        most = PARTNERS_MAX.get(node.kind)
        return most is not None and len(self._partners.get(node, ())) > most

    def _join(self, one: _Profile, other: _Profile) -> None:
        if one is other:
            return
        if self._age(one.root) > self._age(other.root):
            one, other = other, one
        one.members += other.members
        one.customer = one.customer or other.customer
        for node in other.members:
            self._profiles[node] = one

    def _age(self, node: Node) -> tuple[int, int, str]:
        return self.born[node], STRENGTH[node.kind], node.value

    def root(self, node: Node) -> Node:
        """The node that names its profile. Raises KeyError for one that was never seen."""
        return self._profiles[node].root

    def members(self, node: Node) -> Sequence[Node]:
        """All of its profile, oldest first."""
        return sorted(self._profiles[node].members, key=self._age)

    def profiles(self) -> dict[Node, frozenset[Node]]:
        """All of them by the node that names them."""
        found = {id(one): one for one in self._profiles.values()}
        return {one.root: frozenset(one.members) for one in found.values()}


def resolve(links: Iterable[Link], *, without: frozenset[int] = frozenset()) -> Identity:
    """The profiles that links make, in the order of their numbers; those `without` were taken back. Nodes of links that
    were taken back are still seen, and stand alone."""
    made = Identity()
    for link in sorted(links, key=lambda one: one.number):
        if link.number in without:
            made.see(link.first, link.number)
            made.see(link.second, link.number)
        else:
            made.add(link)
    return made


def affected(node: Node, links: Sequence[Link]) -> frozenset[Node]:
    """All that a change at this node can touch: whatever links lead to, accepted or not."""
    near: dict[Node, list[Node]] = {}
    for link in links:
        near.setdefault(link.first, []).append(link.second)
        near.setdefault(link.second, []).append(link.first)
    found, left = {node}, [node]
    while left:
        for other in near.get(left.pop(), ()):
            if other not in found:
                found.add(other)
                left.append(other)
    return frozenset(found)


def why(identity: Identity, one: Node, other: Node) -> list[Link] | None:
    """The shortest chain of accepted links between two nodes of one profile, the oldest of equals; None: they are not
    one person."""
    if identity.root(one) != identity.root(other):
        return None
    before: dict[Node, Link | None] = {one: None}
    queue = [one]
    near = _near(identity)
    for node in queue:
        if node == other:
            break
        for link in near.get(node, ()):
            next_node = link.second if link.first == node else link.first
            if next_node not in before:
                before[next_node] = link
                queue.append(next_node)
    return list(reversed(list(_back(before, other))))


def _near(identity: Identity) -> dict[Node, list[Link]]:
    near: dict[Node, list[Link]] = {}
    for link in identity.links.values():
        if link.number not in identity.refused:
            near.setdefault(link.first, []).append(link)
            near.setdefault(link.second, []).append(link)
    return near


def _back(before: Mapping[Node, Link | None], node: Node) -> Iterator[Link]:
    while (link := before[node]) is not None:
        yield link
        node = link.second if link.first == node else link.first


def belongs_to(nodes: Iterable[Node]) -> Node:
    """The node whose profile an event belongs to: its strongest. Raises ValueError if it names nobody."""
    return min(nodes, key=lambda one: (STRENGTH[one.kind], one.value))


def profile_id(brand: UUID, root: Node) -> UUID:
    """The name of a profile, made of the brand and its first node (UUIDv8, SHA-256)."""
    text = b"\x00".join((brand.bytes, root.kind.encode(), root.value.encode()))
    raw = bytearray(hashlib.sha256(text).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return UUID(bytes=bytes(raw))
