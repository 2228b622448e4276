"""Pinterest's catalog: /catalogs/items/batch, its polling, and read-back through POST /catalogs/items (API v5)."""
