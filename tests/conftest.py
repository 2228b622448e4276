"""Fixtures of the whole suite: the real PostgreSQL and the real broker, each once per session and process."""

import os

# A part that starts as another user is forked, not vforked, and gRPC's own handler crashes the child where its threads
# are at work (SIGSEGV in 35 of 40 tries). Read when gRPC is imported, so before everything else.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

pytest_plugins = (
    "tests.support.postgres",
    "tests.support.kafka",
    "tests.support.brokers",
    "tests.support.figures",
    "tests.support.house",
    "tests.support.sharing",
)
