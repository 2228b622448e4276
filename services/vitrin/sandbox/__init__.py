"""Stand-in for the social platforms, for development and tests; no production image contains it.

Serves every platform under its own host as the first path segment (``/graph.facebook.com/v26.0/...``) in that
platform's own dialect, and ``/_sandbox/...`` to look inside and to misbehave on command.
It keeps everything in memory, because it plays the other side of the wire, and with ``SANDBOX_STATE_FILE`` in a file
too, so that a restart meets the platforms as it left them. Its truth is the published contracts, never our
connectors: nothing here imports ``vitrin.platforms`` or a service.
"""
