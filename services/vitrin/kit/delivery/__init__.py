"""The delivery engine's decisions, without I/O: when a call may go, who goes next, when to leave a sick endpoint alone,
and who of a refused batch is to blame. Times are seconds of any monotonic clock and come in as arguments, as does
randomness; `kit.http_client` is the shell around them.
"""
