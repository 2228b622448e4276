"""Shopify's wire contract: webhooks of the Admin API's REST shapes, GraphQL for everything we ask."""
