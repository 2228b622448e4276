"""Every table of retargeting: how long its rows live, and what of them the brand's export has."""

from vitrin.events import topics
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

TABLES = (
    Table("events", Partitioned(90), sealed={"personal": topics.STOREFRONT_EVENT}),
    Table(
        "event_ids",
        Swept("91 days", "vitrin.retargeting.service.keeping:Keeping"),
        left_out="the ids of what is exported as events",
    ),
    Table("event_business_keys", State("for ever: an order counts once, whenever it is sent again")),
    Table("event_counts", Partitioned(90)),
    Table(
        "event_unknown_items",
        Swept("30 days after it was last named", "vitrin.retargeting.service.keeping:Keeping"),
        left_out=WORK,
    ),
    Table("event_origins", State("until it is taken off the list")),
    Table(
        "replica_items",
        State("a row per item of the catalog; of a deleted one its version"),
        left_out=REPLICA,
    ),
    Table("replica_offers", State("a row per offer of the catalog"), left_out=REPLICA),
    ANSWERS,
    *ACCESS,
    *CONSUMER,
    *OUTBOX,
)
