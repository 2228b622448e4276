"""Outbox: events saved with the state that made them, carried to Kafka by one relay per shard."""
