"""Owns: item groups, items, offers, stock, markets and locations of each brand, and the imports that fill them.
Publishes: catalog.item_changed and catalog.item_deleted (catalog.item.v1), catalog.offer_changed (catalog.offer.v1).
Consumes: accounts.brand.v1 and accounts.api_key.v1, for its replica of brands and keys.
Serves: HTTP /v1/items, /v1/items:batch, /v1/offers:batch, /v1/imports; gRPC CatalogService.StreamItems,
SnapshotService of its topics.
Runs: relay, access consumer and import loop as worker; the HTTP and gRPC doors as api.
"""
