"""What an operator may ask of one service: its dead letters, its parked messages, its topics. See `access`."""
