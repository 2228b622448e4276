"""`vitrin removals`: what the removal guard holds, and deciding it."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

app = typer.Typer(
    help="Items that may not leave a platform without an approval: more than the brand's limit within an hour.",
    no_args_is_help=True,
)
COLUMNS = {
    "id": "id",
    "platform": "platform",
    "state": "state",
    "opened_at": "since",
    "summary": "what",
    "causes": "items by who changed them",
}
ITEM_COLUMNS = {
    "item_id": "item",
    "title": "title",
    "would": "would be",
    "why": "because",
    "actor": "by",
    "state": "state",
}
RequestId = Annotated[str, typer.Argument(help="Id of the request, as in `vitrin removals list`.")]
Note = Annotated[str, typer.Option("--note", help="Why; kept with the decision.")]
ItemsMax = Annotated[
    int | None,
    typer.Option("--items-max", min=0, help="As many as you looked at: refused when more wait by now."),
]


class State(StrEnum):
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


@app.command("list")
def list_(
    state: Annotated[State | None, typer.Option(help="Only requests in this state.")] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Requests of the brand, the newest first."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("shop_sync", key) as shop_sync:
        found = list(shop_sync.pages("/v1/removals", {"state": state.value if state else None}))
    output.table(found, columns=COLUMNS)
    if as_json:
        output.json({"data": found})


@app.command()
def show(
    request_id: RequestId,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Items to show.")] = 100,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """One request with its items: what would happen, why, and whose change it was."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("shop_sync", key) as shop_sync:
        found = shop_sync.get(f"/v1/removals/{_quoted(request_id)}", {"limit": limit})
    if as_json:
        output.json(found)
        return
    output.record({name: value for name, value in found.items() if name not in {"data", "next_cursor"}})
    rows = [{**item, "why": item["reason"]["message"]} for item in found["data"]]
    output.table(rows, columns=ITEM_COLUMNS, title="items")
    if found["next_cursor"]:
        output.note(f"only the first {limit} items; --limit shows up to 500, the API pages through all")


@app.command()
def approve(
    request_id: RequestId,
    note: Note = "",
    items_max: ItemsMax = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Everything in the request leaves the platform. Needs a key of the role approver or owner."""
    _decide(request_id, "approve", {"note": note, "items_max": items_max}, key=key, as_json=as_json)


@app.command()
def reject(
    request_id: RequestId,
    note: Note = "",
    items_max: ItemsMax = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """The platform goes on showing everything in the request. Needs a key of the role approver or owner."""
    _decide(request_id, "reject", {"note": note, "items_max": items_max}, key=key, as_json=as_json)


def _decide(request_id: str, verb: str, body: dict[str, Any], *, key: str | None, as_json: bool) -> None:
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("shop_sync", key) as shop_sync:
        decided = shop_sync.post(f"/v1/removals/{_quoted(request_id)}:{verb}", body)
    if as_json:
        output.json(decided)
    else:
        output.note(decided["summary"])


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
