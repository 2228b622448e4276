"""`vitrin privacy`: what shops asked in the name of their customers."""

from enum import StrEnum
from itertools import islice
from typing import Annotated

import typer

from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

app = typer.Typer(help="Requests of shops in the name of their customers.", no_args_is_help=True)
COLUMNS = {
    "id": "id",
    "kind": "kind",
    "state": "state",
    "received_at": "received",
    "due_at": "due",
    "answered_at": "answered",
}
RequestId = Annotated[str, typer.Argument(help="Id of the request, as in `vitrin privacy list`.")]


class State(StrEnum):
    OPEN = "open"
    RUNNING = "running"
    DONE = "done"


@app.command("list")
def list_(
    *,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="As many, the newest first.")] = 50,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """export: a customer wants their data; erase and shop_erase: done by themselves, with a receipt."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    wanted = {"state": state.value if state else None}
    with with_key("catalog", key) as catalog:
        found = list(islice(catalog.pages("/v1/privacy_requests", wanted), limit))
    if as_json:
        output.json({"data": found})
    else:
        output.table(found, columns=COLUMNS)


@app.command()
def show(request_id: RequestId, key: Key = None, as_json: AsJson = False) -> None:
    """One request; of an export with all that is known of the person (--json is what to give them). For owners."""
    _shown("GET", f"/v1/privacy_requests/{request_id}", key, as_json)


@app.command()
def answered(request_id: RequestId, key: Key = None, as_json: AsJson = False) -> None:
    """The customer got the data, or nothing of them is left elsewhere: ends the notification. For owners."""
    _shown("POST", f"/v1/privacy_requests/{request_id}:answered", key, as_json)


def _shown(method: str, path: str, key: str | None, as_json: bool) -> None:
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("catalog", key) as catalog:
        found = catalog.get(path) if method == "GET" else catalog.post(path, {})
    if as_json:
        output.json(found)
    else:
        output.record(found)
