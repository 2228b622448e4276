"""What the ad networks of the sandbox share: who is in their audiences, which events they counted, whom they know."""
