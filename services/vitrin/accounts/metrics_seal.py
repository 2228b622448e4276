"""What the keys of personal data count."""

from vitrin.kit.metrics import counter, gauge

LEASED = counter(
    "vitrin_accounts_seal_keys_leased_total",
    "Keys of personal data asked for, by kind (person, day, id) and by the answer: live, created, destroyed, unknown.",
    ("kind", "outcome"),
)
DESTROYED = counter(
    "vitrin_accounts_seal_keys_destroyed_total",
    "Keys of personal data destroyed, by kind: person (erasures), day (their time is over), brand (off-boarding).",
    ("kind",),
)
OVERDUE = gauge(
    "vitrin_accounts_seal_days_overdue",
    "Days by which the oldest key of a brand and day is older than it may be; 0: none is.",
)
OLD_RING = gauge(
    "vitrin_accounts_seal_keys_old_ring",
    "Keys of personal data that are still wrapped by another key of the ring than its current one (counted to 10,000).",
)
