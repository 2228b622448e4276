"""The whole system as `vitrin up` starts it: its processes, its HTTP doors, its sandbox, nothing replaced."""
