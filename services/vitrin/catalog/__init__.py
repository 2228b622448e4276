"""Owns: item groups, items, offers, stock, markets and locations of each brand, the imports that fill them, its shops
and their orders, and what shops ask in the name of customers.
Publishes: catalog.item_changed and catalog.item_deleted (catalog.item.v1), catalog.offer_changed (catalog.offer.v1),
catalog.order_changed (catalog.order.v1), catalog.attention_changed (catalog.attention.v1).
Consumes: accounts.brand.v1, accounts.api_key.v1 and accounts.connection.v1, for its replica of brands, keys and shops.
Serves: HTTP /v1/items, /v1/items:batch, /v1/offers:batch, /v1/imports, /v1/shops, /v1/orders, /v1/privacy_requests,
/v1/webhooks; gRPC CatalogService.StreamItems, SnapshotService of its topics.
Runs: relay, access consumer, import loop and the shops' loops as worker; the HTTP and gRPC doors as api.
"""
