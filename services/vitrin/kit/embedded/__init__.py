"""The real PostgreSQL and a real Kafka-protocol broker, started from wheels as child processes.

Needs the optional extra `embedded`; production images do not carry it.
"""
