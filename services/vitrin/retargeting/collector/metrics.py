"""What is counted on the way in."""

from typing import Final

from vitrin.kit.metrics import counter, gauge, histogram

REQUESTS: Final = counter(
    "vitrin_retargeting_requests_total",
    "Requests to the collector by its answer: taken, refused (none of its events), unreadable, unauthenticated,"
    " forbidden, wrong_origin, limited, too_large, too_slow, crowded, spool_refused, not_in_kafka, keys_away,"
    " wrong_method, broke.",
    ("shape", "outcome"),
)
EVENTS: Final = counter(
    "vitrin_retargeting_events_total",
    "Events at the door: accepted (durable), duplicate, refused.",
    ("source", "outcome"),
)
REFUSED: Final = counter("vitrin_retargeting_events_refused_total", "Events refused at the door.", ("code",))
ACK_SECONDS: Final = histogram(
    "vitrin_retargeting_ack_seconds", "Time from a request's head to the answer that its events are durable."
)
KEYS_HELD: Final = counter(
    "vitrin_retargeting_keys_held_total",
    "Keys that were let through by what is held of them, because nobody could check them.",
)
CARRIED: Final = counter(
    "vitrin_retargeting_carried_total",
    "Events taken from the spool: carried (Kafka has them), unreadable, brand_gone.",
    ("outcome",),
)
CARRIER_LAG_SECONDS: Final = gauge(
    "vitrin_retargeting_carrier_lag_seconds",
    "Age of the oldest accepted events that Kafka has not confirmed; 0 when it has all.",
)
COVER_LAG_SECONDS: Final = gauge(
    "vitrin_retargeting_cover_lag_seconds",
    "Age of the oldest events that Kafka has and the consumers have not stored yet; 0 when they have all.",
)
REWOUND: Final = counter(
    "vitrin_retargeting_rewinds_total",
    "Times that events were carried again, because the topic came back as another incarnation.",
)
PERSONAL_DROPPED: Final = counter(
    "vitrin_retargeting_personal_dropped_total",
    "Events whose personal fields were dropped: erased (the person was erased), refused (accounts gives no key).",
    ("reason",),
)
STORED: Final = counter(
    "vitrin_retargeting_stored_total",
    "Events at the consumer: stored, duplicate, brand_gone.",
    ("outcome",),
)
STORE_SECONDS: Final = histogram(
    "vitrin_retargeting_store_seconds", "Time from an event's arrival at the door to its row in the database."
)
UNKNOWN_ITEMS: Final = counter(
    "vitrin_retargeting_unknown_items_total", "Items in events that the catalog does not have."
)
