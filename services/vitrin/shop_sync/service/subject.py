"""One item on one channel, while its desired state is being decided."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from vitrin.platforms.base import CatalogChannel
from vitrin.protos.catalog.v1.events_pb2 import ItemContent, OfferChanged
from vitrin.shop_sync.domain import decide
from vitrin.shop_sync.domain.adoption import Match
from vitrin.shop_sync.domain.decide import Desired, Excluded, Invalid, Wanted
from vitrin.shop_sync.domain.replica import ItemReplica, Stamp
from vitrin.shop_sync.domain.sync import Reason
from vitrin.shop_sync.domain.values import Channel, ChannelItem
from vitrin.shop_sync.service.mapping import is_gift_card, platform_item, reasons_of


@dataclass(slots=True)
class Subject:
    """`attributes`: what `Wanted` sends, as JSON. `held_offer`: price and stock that go on where the rest is invalid.
    `withheld`: why what is shown stays against the shop's wish. `adopts`: the platform's item that it takes over."""

    channel: Channel
    catalog: CatalogChannel
    replica: ItemReplica
    content: ItemContent
    row: ChannelItem
    desired: Desired
    attributes: bytes | None = None
    held_offer: Mapping[str, object] | None = None
    withheld: tuple[Reason, ...] = ()
    adopts: Match | None = None

    @property
    def newer(self) -> list[Stamp]:
        """Stamps of what this channel had not seen before, content first."""
        offer = self.replica.offers.get(self.channel.market)
        stamps = []
        if self.replica.content.version > self.row.content_version:
            stamps.append(self.replica.content.stamp)
        if offer is not None and offer.version > self.row.offer_version:
            stamps.append(offer.stamp)
        return stamps

    @property
    def actor(self) -> str:
        stamps = self.newer
        return stamps[-1].actor if stamps else self.row.actor

    def want(self, attributes: Mapping[str, object], partial: Mapping[str, object]) -> None:
        """Shown with these attributes, of which `partial` travels in the fast lane."""
        self.desired = decide.wanted(attributes, partial)
        self.attributes = orjson.dumps({"full": dict(attributes), "offer": dict(partial)})

    def render(self) -> bool:
        """What the channel should show of the item, whatever its status: wanted or invalid. False: there is nothing
        to show (deleted, or without an offer in the market)."""
        offer = self.replica.offers.get(self.channel.market)
        if offer is None or not self.replica.exists:
            return False
        item = platform_item(self.row.item_id, self.content, OfferChanged.FromString(offer.payload))
        rendered = self.catalog.render(item)
        partial = self.catalog.render_offer(item)
        if rendered.problems:
            reasons = reasons_of(rendered.problems)
            stands = self.row.facts.confirmed is not None and decide.offer_stands_alone(partial, reasons)
            self.held_offer = partial if stands else None
            self.desired = Invalid(reasons, offer=decide.digest(partial) if stands else None)
        else:
            self.want(rendered.attributes, partial)
        return True

    @property
    def offer(self) -> Mapping[str, object] | None:
        """Price and stock as they would be sent; None when nothing of the kind would be."""
        match self.desired:
            case Wanted(attributes=attributes):
                return attributes
            case Invalid():
                return self.held_offer
            case _:
                return None


def decided(
    channel: Channel, catalog: CatalogChannel, replica: ItemReplica, content: ItemContent, row: ChannelItem
) -> Subject:
    reason = decide.exclusion(
        exists=replica.exists,
        status=content.status,
        gift_card=is_gift_card(content),
        offered=channel.market in replica.offers,
        market=channel.market,
    )
    subject = Subject(channel, catalog, replica, content, row, Invalid(()))
    if reason is not None:
        subject.desired = Excluded(reason)
    else:
        rendered = subject.render()
        assert rendered
    return subject
