"""Meta's Graph API as far as catalogs need it."""
