"""`vitrin events`: send storefront events, watch them arrive, see how they fare, say from where pages may send."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from vitrin.cli.failures import CliFailure, Exit, ProblemAnswer
from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

if TYPE_CHECKING:
    from vitrin.cli.client import ServiceClient

app = typer.Typer(help="What shoppers do: send, watch, check.", no_args_is_help=True)
POLL_S = 0.3
BATCH = 500
COLUMNS = {
    "received_at": "received",
    "name": "event",
    "source": "source",
    "visitor_id": "visitor",
    "customer_id": "customer",
    "items": "items",
    "event_id": "id",
}
HEALTH_COLUMNS = {
    "name": "event",
    "source": "source",
    "accepted": "accepted",
    "duplicate": "duplicates",
    "refused": "refused",
    "stored": "stored",
    "repeated": "repeated",
    "refused_by_code": "refused because",
    "newest_at": "newest",
}


@app.command()
def send(
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="Such as view_item, add_to_cart, purchase.")
    ] = None,
    visitor: Annotated[str | None, typer.Option(help="First-party id of the browser.")] = None,
    item: Annotated[list[str] | None, typer.Option(help="Id of an item; again for more.")] = None,
    order: Annotated[str | None, typer.Option(help="Id of the order, of a purchase.")] = None,
    value: Annotated[float | None, typer.Option(help="In whole units of the currency.")] = None,
    currency: Annotated[str | None, typer.Option(help="Three letters of ISO 4217.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="Send what stands there: a JSON event a line.", exists=True, dir_okay=False
        ),
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send one event, or those of a file. Exit code 1 when one of them is refused."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    events = (
        _of_file(file)
        if file
        else [_event(name, visitor, item or [], order_id=order, value=value, currency=currency)]
    )
    refused = 0
    with with_key("retargeting", key) as retargeting:
        for begin in range(0, len(events), BATCH):
            answer = _sent(retargeting, events[begin : begin + BATCH])
            refused += answer["refused"]
            problems = [{**one, "index": begin + one["index"]} for one in answer["problems"]]
            if as_json:
                output.json({**answer, "problems": problems})
                continue
            output.note(f"{answer['accepted']} accepted, {answer['duplicate']} duplicates")
            if problems:
                columns = {"index": "event", "code": "code", "field": "field", "message": "why", "fix": "fix"}
                output.table(problems, columns=columns, title="refused")
    if refused:
        raise CliFailure(f"{refused} of {len(events)} events were refused", code="events_refused")


@app.command()
def tail(
    *,
    name: Annotated[str | None, typer.Option("--name", help="Only of this name.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Events as they are stored, from now on. Ctrl-C ends it. With --json a line per event."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    shown = 0
    with with_key("retargeting", key) as retargeting:
        asked: dict[str, Any] = {"order": "oldest", "limit": 500, "name": name, "cursor": _end(retargeting)}
        output.note("waiting for events; Ctrl-C ends it")
        while True:
            page = retargeting.get("/v1/events", {n: v for n, v in asked.items() if v is not None})
            for event in page["data"]:
                typer.echo(json.dumps(event) if as_json else _line(event))
                shown += 1
                if shown == count:
                    return
            asked["cursor"] = page["next_cursor"] or asked["cursor"]
            if not page["data"]:
                time.sleep(POLL_S)


@app.command()
def health(
    *,
    since: Annotated[str | None, typer.Option(help="From this time on; a day back by default.")] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """What was accepted, repeated, refused and stored, by event and source; items that the catalog does not have."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("retargeting", key) as retargeting:
        found = retargeting.get("/v1/event_health", {"since": since} if since else None)
    if as_json:
        output.json(found)
        return
    output.table(found["data"], columns=HEALTH_COLUMNS)
    if found["unknown_items"]:
        columns = {"item_id": "item that the catalog does not have", "events": "events", "last_at": "last"}
        output.table(found["unknown_items"], columns=columns)


@app.command()
def sources(
    *,
    add: Annotated[list[str] | None, typer.Option(help="An origin, such as https://shop.example.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="An origin to take off the list.")] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """From which pages publishable keys may be used; the brand's storefront always."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("retargeting", key) as retargeting:
        found = retargeting.get("/v1/event_sources")
        if add or remove:
            kept = [one for one in found["data"] if one["origin"] not in (remove or [])]
            there = {one["origin"] for one in kept if one["key_id"] is None}
            kept += [{"origin": one} for one in add or [] if one not in there]
            found = retargeting.call("PUT", "/v1/event_sources", json={"data": kept})
    if as_json:
        output.json(found)
        return
    storefront = {"origin": found["storefront"], "key_id": "every key (the brand's storefront)"}
    rows = [{**one, "key_id": one["key_id"] or "every key"} for one in found["data"]]
    output.table(
        [storefront, *rows] if found["storefront"] else rows, columns={"origin": "origin", "key_id": "for"}
    )


def _event(name: str | None, visitor: str | None, items: list[str], **fields: object) -> dict[str, Any]:
    if name is None:
        raise CliFailure("which event?", fix="give --name, or --file", code="usage", exit_code=Exit.USAGE)
    made = {
        "event_id": f"cli-{uuid4()}",
        "name": name,
        "visitor_id": visitor or "vitrin-cli",
        "items": [{"item_id": one} for one in items],
        **fields,
    }
    return {field: given for field, given in made.items() if given is not None}


def _of_file(path: Path) -> list[Any]:
    events = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            events.append(json.loads(line))
        except ValueError:
            raise CliFailure(f"line {number} of {path} is no JSON", code="file_unreadable") from None
    return events


def _sent(retargeting: "ServiceClient", events: list[Any]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = retargeting.post("/v1/events", {"events": events})
    except ProblemAnswer as refusal:
        if refusal.problem.get("code") != "events_refused":
            raise
        answer = {name: refusal.problem[name] for name in ("accepted", "duplicate", "refused", "problems")}
    return answer


def _end(retargeting: "ServiceClient") -> str | None:
    """A cursor behind what is stored by now."""
    newest = retargeting.get("/v1/events", {"limit": 1})["data"]
    if not newest:
        return None
    asked = {"order": "oldest", "limit": 1, "event_id": newest[0]["event_id"]}
    cursor: str | None = retargeting.get("/v1/events", asked)["next_cursor"]
    return cursor


def _line(event: dict[str, Any]) -> str:
    who = event["customer_id"] or event["visitor_id"]
    what = ", ".join(one["item_id"] for one in event["items"]) or event["search_term"] or event["url"]
    return f"{event['received_at'][:23]} {event['name']:<16} {event['source']:<8} {who:<24} {what}"
