"""What the stand-in shops have in common: their goods and orders, the webhooks that they send, the commands on them."""
