"""Meta's catalog: items_batch, its handles, and read-back through the catalog's products edge (Graph API v26.0)."""
