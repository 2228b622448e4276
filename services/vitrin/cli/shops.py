"""`vitrin shops`: how connected shops stand, loading one anew, and what came from it."""

from enum import StrEnum
from typing import Annotated
from urllib.parse import quote

import typer

from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

app = typer.Typer(help="Shops that products and orders come from.", no_args_is_help=True)
COLUMNS = {
    "id": "id",
    "platform": "platform",
    "name": "name",
    "state": "state",
    "hooks": "webhooks",
    "last_delivery_at": "last webhook",
    "loaded_at": "loaded",
}
LOAD_COLUMNS = {
    "kind": "kind",
    "state": "state",
    "products": "products",
    "created": "created",
    "updated": "updated",
    "deleted": "deleted",
    "refused": "refused",
    "created_at": "since",
    "finished_at": "until",
}
DELIVERY_COLUMNS = {
    "id": "id",
    "topic": "topic",
    "subject": "about",
    "state": "state",
    "tries": "tries",
    "received_at": "received",
    "why": "why",
}
WARNING_COLUMNS = {"item": "item", "field": "field", "message": "what", "fix": "what to do"}
ShopId = Annotated[
    str, typer.Argument(help="Id of the shop, as in `vitrin shops list`: that of its connection.")
]


class State(StrEnum):
    PENDING = "pending"
    FAILED = "failed"
    DEAD = "dead"
    WAITING = "waiting"
    APPLIED = "applied"
    STALE = "stale"
    NOTHING = "nothing"


@app.command("list")
def list_(key: Key = None, as_json: AsJson = False) -> None:
    """Shops of the brand."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("catalog", key) as catalog:
        found = list(catalog.pages("/v1/shops", {}))
    if as_json:
        output.json({"data": found})
        return
    output.table([{**one, "hooks": one["webhooks"]["state"]} for one in found], columns=COLUMNS)


@app.command()
def show(shop_id: ShopId, key: Key = None, as_json: AsJson = False) -> None:
    """One shop: its state with what to do, its webhooks, its latest loads."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("catalog", key) as catalog:
        found = catalog.get(f"/v1/shops/{_quoted(shop_id)}")
    if as_json:
        output.json(found)
        return
    output.record({name: value for name, value in found.items() if name != "loads"})
    output.table(found["loads"], columns=LOAD_COLUMNS, title="loads")


@app.command()
def load(shop_id: ShopId, key: Key = None, as_json: AsJson = False) -> None:
    """Read the whole shop anew; `vitrin shops show` follows it."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("catalog", key) as catalog:
        found = catalog.post(f"/v1/shops/{_quoted(shop_id)}:load", {})
    if as_json:
        output.json(found)
    else:
        output.record(found)


@app.command()
def deliveries(
    shop_id: ShopId,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="As many, the newest first.")] = 50,
    replay: Annotated[
        str | None, typer.Option("--replay", metavar="ID", help="Apply this one again.")
    ] = None,
    *,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Webhooks that came from the shop, and what became of each."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    path = f"/v1/shops/{_quoted(shop_id)}/deliveries"
    with with_key("catalog", key) as catalog:
        if replay is not None:
            found = [catalog.post(f"{path}/{_quoted(replay)}:replay", {})]
        else:
            found = catalog.get(path, {"state": state.value if state else None, "limit": limit})["data"]
    if as_json:
        output.json({"data": found})
        return
    rows = [{**one, "why": (one["problem"] or {}).get("message", "")} for one in found]
    output.table(rows, columns=DELIVERY_COLUMNS)


@app.command()
def warnings(
    shop_id: ShopId,
    limit: Annotated[int, typer.Option(min=1, max=500, help="As many items.")] = 50,
    *,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Items that were taken without something that could not be read: a wrong barcode, a broken picture."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("catalog", key) as catalog:
        found = catalog.get(f"/v1/shops/{_quoted(shop_id)}/warnings", {"limit": limit})["data"]
    if as_json:
        output.json({"data": found})
        return
    output.table(
        [{"item": one["item_id"], **each} for one in found for each in one["warnings"]],
        columns=WARNING_COLUMNS,
    )


def _quoted(text: str) -> str:
    return quote(text, safe="")
