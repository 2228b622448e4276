"""Personal data on its way to a platform: normalised by that platform's rule, then hashed (SHA-256, lower-case hex)."""
