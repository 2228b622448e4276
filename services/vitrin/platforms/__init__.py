"""One folder per social platform: its wire contract, nothing else. `base` has the words that all of them share."""
