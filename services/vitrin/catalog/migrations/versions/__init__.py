"""Schema of the catalog's database."""
