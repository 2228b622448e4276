"""retargeting takes what shoppers do and keeps it: the way from a click to an audience begins here.

Owns: storefront events, the business keys of orders, refunds and leads, the origins that a brand's pages send from, and
    the counts of what was accepted, repeated and refused.
Publishes: storefront.event.v1 (from its spool, not from an outbox).
Consumes: storefront.event.v1, catalog.item.v1, catalog.offer.v1, brands, keys, outgoing switches.
Serves: HTTP /v1/events, /v1/event_sources, /v1/event_health; in the shape of Segment /v1/track, /v1/identify, /v1/page,
    /v1/batch; gRPC health only.
Calls: accounts by gRPC for keys, the keys of personal data and snapshots; catalog for snapshots of items.
"""
