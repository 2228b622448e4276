"""A service declares every table of its database; a test compares that with the database (`tests/kit/brand_data`).

So nobody adds a table without saying how long its rows live, who removes them, and whether the brand gets them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class State:
    """As many rows as there are things; `of` says what ends a row."""

    of: str

    def __str__(self) -> str:
        return self.of


@dataclass(frozen=True, slots=True)
class Partitioned:
    """By day; whole days are dropped by `vitrin_partitions` every hour."""

    days: int

    def __str__(self) -> str:
        return f"{self.days} day{'' if self.days == 1 else 's'}, by day partitions"


@dataclass(frozen=True, slots=True)
class Swept:
    """`age` in words; `by` is what removes them, as `module:name`."""

    age: str
    by: str

    def __str__(self) -> str:
        return f"{self.age} (`{self.by}`)"


@dataclass(frozen=True, slots=True)
class Table:
    """`left_out`: why the brand's export has nothing of it; empty: it has. `secret`: columns that no export has.
    `sealed`: columns with personal data that it opens, and the context of each. `outlives`: why its rows stay when the
    brand has left; empty: they go."""

    name: str
    kept: State | Partitioned | Swept
    brand: bool = True
    left_out: str = ""
    secret: tuple[str, ...] = ()
    sealed: Mapping[str, str] = field(default_factory=dict)
    outlives: str = ""


WORK = "work in progress, nothing of it is the brand's to keep"
REPLICA = "a copy of what its owner exports"


def _plain(name: str, kept: State | Swept) -> Table:
    return Table(name, kept, brand=False)


OUTBOX = (
    Table("outbox", Partitioned(7), left_out="messages about what is exported as it stands now"),
    _plain("outbox_ends", State("a row per topic and partition of its last incarnation")),
    _plain("outbox_incarnations", State("a row per shard and topic")),
    _plain("outbox_leases", State("a row per shard")),
    _plain("outbox_marker", State("one row")),
    _plain("republish_jobs", Swept("90 days after the end", "vitrin.kit.db.sweeping:sweep")),
    _plain("day_partitions", State("a row per table")),
    _plain("alembic_version", State("one row")),
    Table(
        "brand_purges",
        State("a row per brand that has left: the receipt"),
        left_out="of brands that have left",
        outlives="the receipt",
    ),
)
"""Of every service."""
ANSWERS = Table(
    "idempotency_keys",
    Partitioned(1),
    left_out="answers that were given already, sealed with the caller's key",
)
CONSUMER = (
    _plain("consumer_ends", State("a row per consumer group")),
    _plain(
        "consumer_offsets",
        Swept("as long as the topic's incarnation; those before it 90 days", "vitrin.kit.db.sweeping:sweep"),
    ),
    _plain("consumer_snapshots", State("a row per consumer group and topic")),
    Table(
        "dead_letters",
        Swept("90 days", "vitrin.kit.consumer.letters:forget"),
        left_out="messages between services that could not be handled",
    ),
    Table(
        "parked_messages",
        State("until it is handled, 7 days at most, then a dead letter"),
        left_out="messages between services that wait",
    ),
)
"""Of every service that follows topics."""
ACCESS = (
    Table(
        "access_brands",
        State("a row per brand; of one that has left its id"),
        left_out=REPLICA,
        outlives="says that the brand has left",
    ),
    Table("access_keys", State("as long as the brand"), left_out=REPLICA),
    Table(
        "access_outgoing",
        State("a row per switch; the stop of a brand that has left stays"),
        left_out=REPLICA,
        outlives="nothing may go out for a brand that has left, whatever arrives late",
    ),
)
"""Of every service with API keys, but accounts."""
