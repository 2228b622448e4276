"""Topic names, the event envelope and the registry of event types. Knows no service."""
