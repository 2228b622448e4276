"""What a platform's capabilities say of stock is what its rendering does: the removal guard relies on it."""

from collections.abc import AsyncIterator

import pytest

from tests.platforms.items import mug
from vitrin.kit.http_client import PlatformHttp
from vitrin.platforms.base import CatalogChannel
from vitrin.platforms.registry import PLATFORMS

SOLD_OUT = {"out_of_stock", "discontinued"}
CAN_BE_BOUGHT = {"in_stock", "preorder", "available_for_order"}


@pytest.fixture(params=sorted(PLATFORMS))
async def channel(request: pytest.FixtureRequest) -> AsyncIterator[CatalogChannel]:
    spec, http = PLATFORMS[request.param], PlatformHttp()
    yield spec.open_channel(
        http=http,
        access_token="token",
        external_ids=dict.fromkeys((*spec.required_external_ids, *spec.optional_external_ids), "1"),
        market="US",
        language="en",
        currency="USD",
    )
    await http.close()


async def test_the_sold_out_words_are_those_of_what_cannot_be_bought(channel: CatalogChannel) -> None:
    words = channel.capabilities.sold_out_words
    for availability in SOLD_OUT | CAN_BE_BOUGHT:
        item = mug(availability=availability)
        for attributes in (channel.render(item).attributes, channel.render_offer(item)):
            assert (attributes["availability"] in words) is (availability in SOLD_OUT), availability


async def test_only_the_stock_fields_say_how_much_there_is(channel: CatalogChannel) -> None:
    some, none = mug(quantity=7), mug(quantity=0, availability="out_of_stock")
    for render in (lambda item: channel.render(item).attributes, channel.render_offer):
        one, other = render(some), render(none)
        differing = {name for name in {*one, *other} if one.get(name) != other.get(name)}
        assert "availability" in differing
        assert differing <= set(channel.capabilities.stock_fields)
