"""Shopify, as far as an app sees it: Admin GraphQL, bulk operations, consent and webhooks."""
