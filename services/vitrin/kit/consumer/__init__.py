"""Consumers: micro-batches handled in one transaction together with their offsets."""
