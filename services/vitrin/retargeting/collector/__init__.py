"""The way in: a door that acknowledges what is durable, a spool, and the carrier that takes it to Kafka (ADR 29)."""
