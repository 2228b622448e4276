"""What must hold while processes are killed, stalled and restarted under load. Not part of `make test`."""
