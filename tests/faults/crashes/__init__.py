"""What the crash test is made of: load that knows what it is owed, killers that know what they hit, the reckoning."""
