"""Shops that products come from: their webhooks, loads and reconciles, and how they become items, stock and orders."""
