"""A brand that wants another person to approve: whoever caused a removal may reject it, and somebody else approves."""

from dataclasses import replace

import pytest

from tests.shop_sync.conftest import Shop
from tests.shop_sync.test_guard_stored import key, live, names, removals, waiting
from vitrin.kit.ids import KeyId
from vitrin.shop_sync.errors import ApprovalNeedsOtherPerson


async def test_whoever_caused_it_may_not_approve_it(shop: Shop) -> None:
    meta = await live(shop)
    await shop.hear(*(shop.deleted(name) for name in names(30)))
    request = (await waiting(shop, meta)).request_id
    author = replace(key(shop), key_id=KeyId("test"), brand_approval_needs_other_person=True)
    assert author.actor == "key:test"
    with pytest.raises(ApprovalNeedsOtherPerson):
        await removals(shop).decide(author, request, "approved", note="")
    assert (await waiting(shop, meta)).decided_by is None
    assert (await removals(shop).decide(author, request, "rejected", note="")).state == "rejected"
    with pytest.raises(ApprovalNeedsOtherPerson):
        await removals(shop).decide(author, request, "approved", note="")
    other = replace(author, member_id="019a9d5e-0c1b-7d07-8a2f-6b0e3f1c2d4e")
    decided = await removals(shop).decide(other, request, "approved", note="")
    assert (decided.state, decided.decided_by) == ("approved", f"member:{other.member_id}")


async def test_without_the_setting_the_author_may(shop: Shop) -> None:
    meta = await live(shop)
    await shop.hear(*(shop.deleted(name) for name in names(30)))
    request = (await waiting(shop, meta)).request_id
    author = replace(key(shop), key_id=KeyId("test"))
    assert (await removals(shop).decide(author, request, "approved", note="")).decided_by == "key:test"
