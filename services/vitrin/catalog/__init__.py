"""Owns: item groups, items, offers, imports of one brand.

Publishes: catalog.item.v1 (content), catalog.offer.v1 (price and stock).
Consumes: accounts.brand.v1, accounts.api_key.v1.
Serves: HTTP /v1/items, /v1/offers, /v1/imports; gRPC CatalogService.
"""
