"""`vitrin adoption`: what a platform's catalog held before Vitrin, and what becomes of it."""

from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer

from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

app = typer.Typer(
    help="Items that a platform's catalog held before it was connected: matched, in doubt, or left alone.",
    no_args_is_help=True,
)
COLUMNS = {
    "platform_item_id": "their id",
    "title": "title",
    "state": "state",
    "item_id": "your item",
    "how": "found by",
    "why": "because",
}
Channel = Annotated[str, typer.Argument(help="Id of the channel, as in GET /v1/channels.")]
TheirId = Annotated[str, typer.Argument(help="Id of the platform's item.")]


class State(StrEnum):
    STRANGER = "stranger"
    AMBIGUOUS = "ambiguous"
    LEFT = "left"
    ADOPTED = "adopted"
    REMOVAL = "removal"
    REMOVING = "removing"
    REMOVED = "removed"


@app.command()
def show(channel: Channel, key: Key = None, as_json: AsJson = False) -> None:
    """How far it is, and how many items are what."""
    from vitrin.cli.client import with_key

    with with_key("shop_sync", key) as shop_sync:
        found = shop_sync.get(_path(channel))
    _told(found, as_json=as_json)


@app.command()
def items(
    channel: Channel,
    state: Annotated[State | None, typer.Option(help="Only items in this state.")] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """The platform's items, with what told that one is yours, or why nobody can be sure."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("shop_sync", key) as shop_sync:
        query = {"state": state.value if state else None}
        found = list(shop_sync.pages(f"{_path(channel)}/items", query))
    rows = [{**one, "why": one["reason"]["message"] if one["reason"] else ""} for one in found]
    output.table(rows, columns=COLUMNS)
    if as_json:
        output.json({"data": found})


@app.command()
def match(channel: Channel, theirs: TheirId, item: str, key: Key = None, as_json: AsJson = False) -> None:
    """Their item is your ITEM: it takes over the id."""
    _resolve(channel, {"platform_item_id": theirs, "item_id": item}, key=key, as_json=as_json)


@app.command()
def leave(channel: Channel, theirs: TheirId, key: Key = None, as_json: AsJson = False) -> None:
    """Their item is none of yours: left alone."""
    _resolve(channel, {"platform_item_id": theirs}, key=key, as_json=as_json)


@app.command()
def remove(
    channel: Channel,
    theirs: Annotated[list[str] | None, typer.Argument(help="Ids of the platform's items.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that nobody claims.")] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Ask for their removal. Nothing is deleted before `vitrin removals approve`."""
    body: dict[str, Any] = {"all": True} if everything else {"ids": theirs or []}
    made = _post(channel, ":remove", body, key=key)
    output = Output(as_json=as_json)
    if as_json:
        output.json(made)
    else:
        output.note(f"{made['summary']} vitrin removals approve {made['id']}")


@app.command()
def refresh(channel: Channel, key: Key = None, as_json: AsJson = False) -> None:
    """List the platform's catalog again."""
    _told(_post(channel, ":refresh", {}, key=key), as_json=as_json)


@app.command()
def skip(channel: Channel, key: Key = None, as_json: AsJson = False) -> None:
    """Send without knowing what the catalog holds; items there under other ids are doubled."""
    _told(_post(channel, ":skip", {}, key=key), as_json=as_json)


def _resolve(channel: str, choice: dict[str, Any], *, key: str | None, as_json: bool) -> None:
    _told(_post(channel, ":resolve", {"choices": [choice]}, key=key), as_json=as_json)


def _post(channel: str, verb: str, body: dict[str, Any], *, key: str | None) -> dict[str, Any]:
    from vitrin.cli.client import with_key

    with with_key("shop_sync", key) as shop_sync:
        answer: dict[str, Any] = shop_sync.post(_path(channel) + verb, body)
    return answer


def _told(found: dict[str, Any], *, as_json: bool) -> None:
    output = Output(as_json=as_json)
    if as_json:
        output.json(found)
    else:
        output.record(found)


def _path(channel: str) -> str:
    return f"/v1/channels/{quote(channel, safe='')}/adoption"
