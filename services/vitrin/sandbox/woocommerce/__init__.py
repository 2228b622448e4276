"""WooCommerce, as far as a client sees it: REST v3 and webhooks."""
