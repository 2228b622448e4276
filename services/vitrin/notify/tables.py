"""Every table of notify: how long its rows live, and what of them the brand's export has."""

from vitrin.kit.brand_data.declared import (
    ACCESS,
    ANSWERS,
    CONSUMER,
    OUTBOX,
    WORK,
    Partitioned,
    State,
    Swept,
    Table,
)

TABLES = (
    Table("webhook_endpoints", State("until it is deleted")),
    Table(
        "webhook_secrets",
        State("until it expires and the next rotation, or the endpoint is deleted"),
        secret=("key_id", "nonce", "ciphertext"),
    ),
    Table("webhook_events", Partitioned(30)),
    Table("webhook_deliveries", Partitioned(30)),
    Table("webhook_attempts", Partitioned(30)),
    Table("webhook_queues", State("a row per endpoint"), left_out=WORK),
    Table("notices", Swept("90 days after its end", "vitrin.notify.service.poster:Poster")),
    Table("notice_sources", Swept("40 days", "vitrin.notify.service.poster:Poster"), left_out=WORK),
    Table(
        "notification_channels",
        State("until it is deleted"),
        secret=("key_id", "nonce", "ciphertext", "code_key_id", "code_nonce", "code_ciphertext"),
    ),
    Table("notification_queues", State("a row per channel"), left_out=WORK),
    Table(
        "notification_deliveries",
        Swept("30 days after its end", "vitrin.notify.service.poster:Poster"),
    ),
    Table("notification_attempts", Partitioned(30)),
    Table("told_states", State("a small row per item and channel"), left_out=WORK),
    Table("told_sources", Swept("40 days", "vitrin.notify.service.watching:Watching"), left_out=WORK),
    ANSWERS,
    *ACCESS,
    *CONSUMER,
    *OUTBOX,
)
