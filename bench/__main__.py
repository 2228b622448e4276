"""`make bench` runs every claim and prints a table; `make bench NAME=P17` runs one and prints its JSON line last."""

import sys

from rich.console import Console
from rich.table import Table

from bench import (
    audience_history,
    audience_transaction,
    audience_update,
    backlog,
    batching,
    catalog_size,
    cost_per_change,
    first_sync,
    hashing,
    house,
    ingest,
    makespan,
    outbox_cost,
    quiet_lag,
    relay_rate,
    revocation,
    sick_platform,
    stock_flood,
)
from bench.claims import Claim, keep, line

CLAIMS: dict[str, Claim] = {
    "P1": ingest.p1,
    "P2": ingest.p2,
    "P3": ingest.p3,
    "P10": outbox_cost.run,
    "P11": relay_rate.run,
    "F1": first_sync.run,
    "G1": cost_per_change.run,
    "G2": catalog_size.run,
    "G6": backlog.run,
    "P17": quiet_lag.run,
    "P18": batching.run,
    "P19": makespan.run,
    "G3": audience_history.run,
    "P20": audience_update.run,
    "P20W": audience_transaction.run,
    "P22": hashing.run,
    "S1": sick_platform.run,
    "S2": stock_flood.run,
    "H1": revocation.run,
    "H2": house.run,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in CLAIMS]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(CLAIMS)}", file=sys.stderr)
        return 2
    results = [CLAIMS[name]() for name in names or CLAIMS]
    if names:
        print(line(results[-1]))
        return 0
    keep(results)
    table = Table("id", "claim", "measured", "goal", "against", "met")
    for result in results:
        row = (result.id, result.name, f"{result.value:g}", result.goal, result.baseline, str(result.met))
        table.add_row(*row)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
