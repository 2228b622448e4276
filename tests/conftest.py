"""Fixtures of the whole suite: the real PostgreSQL and the real broker, each once per session and process."""

pytest_plugins = (
    "tests.support.postgres",
    "tests.support.kafka",
    "tests.support.brokers",
    "tests.support.figures",
    "tests.support.house",
    "tests.support.sharing",
)
