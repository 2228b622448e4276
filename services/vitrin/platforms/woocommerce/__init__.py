"""WooCommerce's wire contract: REST v3 (`/wp-json/wc/v3`) and its webhooks, which hold the same shapes."""
