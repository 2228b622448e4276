"""Every table of shop_sync: how long its rows live, and what of them the brand's export has."""

from vitrin.kit.brand_data.declared import (
    ACCESS,
    ANSWERS,
    CONSUMER,
    OUTBOX,
    REPLICA,
    WORK,
    Partitioned,
    State,
    Swept,
    Table,
)

RELEASING = "vitrin.shop_sync.service.releasing:Releasing"
CHANNEL = State("as long as the channel")

TABLES = (
    Table("channels", State("as long as the brand")),
    Table("channel_items", CHANNEL),
    Table("channel_ids", CHANNEL),
    Table("stocks", CHANNEL, left_out=WORK),
    Table("platform_items", CHANNEL),
    Table("adoption_keys", CHANNEL, left_out=WORK),
    Table("timeline", Partitioned(90)),
    Table("removal_policies", State("a row per brand")),
    Table("removal_requests", Swept("90 days after the end", RELEASING)),
    Table("removal_items", Swept("90 days after the end of the request", RELEASING)),
    Table("audit_entries", State("as long as the brand")),
    Table("lag_samples", Partitioned(14), left_out="measurements; the metrics and the timeline have them"),
    Table("attempts", State("until the platform has answered"), left_out=WORK),
    Table("hunts", State("until the culprit is found"), left_out=WORK),
    Table("channel_work", CHANNEL, left_out=WORK),
    Table("removal_work", State("as long as the request waits"), left_out=WORK),
    Table("removal_windows", State("a row per channel"), left_out=WORK),
    Table("removal_charges", State("as long as the window counts it"), left_out=WORK),
    Table("replica_items", State("as long as the item; tombstones stay"), left_out=REPLICA),
    Table("replica_offers", State("as long as the item"), left_out=REPLICA),
    Table("replica_connections", State("a row per connection"), left_out=REPLICA),
    Table("checkouts", State("until carts are no longer taken, or the channel goes")),
    Table("checkout_handoffs", Partitioned(30)),
    Table("attentions", State("until it is over"), left_out=WORK),
    ANSWERS,
    *ACCESS,
    *CONSUMER,
    *OUTBOX,
)
