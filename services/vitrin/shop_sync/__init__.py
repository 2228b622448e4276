"""shop_sync mirrors the catalog to every channel and proves it.

Owns: replicas of items, offers and connections; channels; items per channel; timeline; lag; removal requests.
Publishes: shop_sync.item_status.v1, shop_sync.alert.v1.
Consumes: catalog.item.v1, catalog.offer.v1, accounts.connection.v1, brands, keys, outgoing switches.
Serves: HTTP /v1/channels, /v1/items/{id}/timeline, /v1/lag, /v1/removals, /v1/removal-policy; gRPC SnapshotService of
its topic. Asks accounts by gRPC for tokens, accounts and catalog for snapshots.
"""
