"""The Kafka protocol. kafka-python and its missing types stop here."""
