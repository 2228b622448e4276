"""Orders of the shops: kept as the shop has them, published as catalog.order.v1, personal fields sealed (ADR 28)."""
