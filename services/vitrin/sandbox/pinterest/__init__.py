"""Pinterest's API v5 as far as catalogs need it."""
