"""Pure rules of webhooks: what is told, when it is tried again, what an answer means. No I/O, no clock."""
