"""The delivery engine: when a call may go, who goes next, when to leave a sick endpoint alone, who is to blame for a
refused batch.

`rate`, `limiter`, `breaker`, `fairness`, `bisect` and `slots` decide without I/O: times are seconds of any monotonic
clock and come in as arguments, as does randomness. `gate` is their shell (it waits), `kit.http_client` sends.
"""
