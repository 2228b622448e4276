"""Schema of accounts, by hand."""
