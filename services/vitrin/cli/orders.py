"""`vitrin orders`: what the shops sold."""

from enum import StrEnum
from itertools import islice
from typing import Annotated
from urllib.parse import quote

import typer

from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

app = typer.Typer(help="Orders of the brand's shops.", no_args_is_help=True)
COLUMNS = {
    "id": "id",
    "platform": "platform",
    "name": "name",
    "state": "state",
    "total": "total",
    "refunded": "refunded",
    "created_at": "placed",
    "unknown_lines": "lines without item",
}
LINE_COLUMNS = {
    "item_id": "item",
    "sku": "sku",
    "title": "title",
    "quantity": "quantity",
    "price": "price",
    "discount": "discount",
}
TIMELINE_COLUMNS = {"version": "version", "what": "what", "at": "at the shop", "received_at": "received"}
REFUND_COLUMNS = {"id": "refund", "created_at": "at", "amount": "amount"}
LISTS = ("lines", "timeline", "refunds", "person", "person_seen")


class State(StrEnum):
    OPEN = "open"
    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    CANCELLED = "cancelled"
    FAILED = "failed"


@app.command("list")
def list_(
    *,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    shop: Annotated[str | None, typer.Option(help="Only of this shop.")] = None,
    since: Annotated[str | None, typer.Option(help="Placed at or after it; ISO 8601 with its zone.")] = None,
    until: Annotated[str | None, typer.Option(help="Placed before it; ISO 8601 with its zone.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="As many, the newest first.")] = 50,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """The newest first; who bought is not in it."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    wanted = {"state": state.value if state else None, "shop": shop, "since": since, "until": until}
    with with_key("catalog", key) as catalog:
        found = list(islice(catalog.pages("/v1/orders", wanted), limit))
    if as_json:
        output.json({"data": found})
    else:
        output.table(found, columns=COLUMNS)


@app.command()
def show(
    order_id: Annotated[str, typer.Argument(help="Id of the order, as in `vitrin orders list`.")],
    *,
    person: Annotated[bool, typer.Option("--person", help="Who bought too: for owners, and noted.")] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """One order: its lines with the catalog's items, its refunds, and what happened when."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("catalog", key) as catalog:
        asked = {"person": "true"} if person else None
        found = catalog.get(f"/v1/orders/{quote(order_id, safe='')}", asked)
    if as_json:
        output.json(found)
        return
    output.record({name: value for name, value in found.items() if name not in LISTS})
    output.table(found["lines"], columns=LINE_COLUMNS, title="lines")
    output.table(found["refunds"], columns=REFUND_COLUMNS, title="refunds")
    timeline = [{**one, "what": ", ".join(one["news"])} for one in found["timeline"]]
    output.table(timeline, columns=TIMELINE_COLUMNS, title="timeline")
    if person:
        output.record(found["person"] or {"person": "nobody was named, or they were erased"})
