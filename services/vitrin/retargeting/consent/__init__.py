"""What a person allowed, for what, since when, and how we know."""
