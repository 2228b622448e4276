"""`vitrin sandbox fault add|list|clear|kinds`: let the stand-in platforms misbehave."""

import json
from typing import Annotated, Any

import typer

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.options import AsJson
from vitrin.cli.output import Output

app = typer.Typer(
    help="Let the sandbox misbehave: `kinds` lists every way, with examples.", no_args_is_help=True
)

PATH = "/_sandbox/faults"

Count = Annotated[
    str | None, typer.Option(help="How many requests it meets: a number or 'all'.", metavar="N|all")
]


@app.command()
def add(
    kind: Annotated[str, typer.Argument(help="One of `vitrin sandbox fault kinds`.")],
    *,
    platform: Annotated[str | None, typer.Option(help="meta or pinterest; else all.")] = None,
    account: Annotated[str | None, typer.Option(help="An external or catalog id of the account.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="send, poll, read, audience, events or other.")] = None,
    method: Annotated[str | None, typer.Option(help="HTTP method.")] = None,
    path: Annotated[str | None, typer.Option(help="Regular expression, searched in the path.")] = None,
    item: Annotated[list[str] | None, typer.Option(help="An item at fault; may be repeated.")] = None,
    share: Annotated[float | None, typer.Option(help="Or the share of all items at fault, 0 to 1.")] = None,
    probability: Annotated[float | None, typer.Option(help="Chance per request, 0 to 1.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of chances and shares.")] = None,
    count: Count = None,
    duration_ms: Annotated[int | None, typer.Option(help="Ends after so many milliseconds.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field: name=value, the value JSON or text; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Activate a fault. Without --count a kind about whole calls meets one of them."""
    output = Output(as_json=as_json)
    given: dict[str, Any] = {
        "platform": platform,
        "account": account,
        "endpoint": endpoint,
        "method": method,
        "path": path,
        "item_ids": item or None,
        "item_share": share,
        "probability": probability,
        "seed": seed,
        "duration_ms": duration_ms,
    }
    spec = {"kind": kind} | {name: value for name, value in given.items() if value is not None}
    if count is not None:
        spec["count"] = None if count == "all" else _value(count)
    spec |= dict(map(_pair, option or []))
    made = _call("POST", PATH, json=spec)
    if as_json:
        output.json(made)
    else:
        output.note(f"{made['id']} waits for requests; `vitrin sandbox fault clear {made['id']}` ends it")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All faults, spent ones too, with the requests that they met."""
    output = Output(as_json=as_json)
    found = _call("GET", PATH)
    output.table(
        [_row(one) for one in found["faults"]],
        columns={
            "id": "id",
            "kind": "kind",
            "platform": "platform",
            "account": "account",
            "chosen": "calls",
            "items": "items",
            "hits": "hits",
            "count": "of",
            "spent": "spent",
        },
    )
    if as_json:
        output.json(found)


@app.command()
def clear(
    fault_id: Annotated[str | None, typer.Argument(help="The fault's id; without it all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Remove one fault, or all."""
    output = Output(as_json=as_json)
    found = _call("DELETE", f"{PATH}/{fault_id}" if fault_id else PATH)
    if as_json:
        output.json(found)
    else:
        output.note(f"removed {found['removed']}")


@app.command()
def kinds(as_json: AsJson = False) -> None:
    """Every kind of misbehaviour, its fields and an example."""
    output = Output(as_json=as_json)
    found = _call("GET", f"{PATH}/kinds")
    rows = [one | {"example": json.dumps(one["example"])} for one in found["kinds"]]
    output.table(rows, columns={"kind": "kind", "does": "what it does", "example": "example"})
    fields = [{"field": name, "means": means} for name, means in found["selectors"].items()]
    output.table(fields, columns={"field": "field of every kind", "means": ""})
    own = [
        {"kind": one["kind"], "field": name, "means": means}
        for one in found["kinds"]
        for name, means in one["fields"].items()
    ]
    output.table(own, columns={"kind": "kind", "field": "its own field", "means": ""})
    if as_json:
        output.json(found)


def _row(one: dict[str, Any]) -> dict[str, Any]:
    items = f"{one['item_share']} of all" if one["item_share"] is not None else len(one["item_ids"] or [])
    chosen = " ".join(value for value in (one["endpoint"], one["method"], one["path"]) if value)
    return one | {
        "chosen": chosen or "any",
        "items": items or "",
        "count": "all" if one["count"] is None else one["count"],
    }


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CliFailure(
            f"--set takes name=value, not {text!r}",
            fix="for example --set hold_ms=0 or --set error=transient",
            code="option_invalid",
            exit_code=Exit.USAGE,
        )
    return name, _value(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _call(method: str, path: str, **request: Any) -> Any:
    from vitrin.cli.client import ServiceClient

    with ServiceClient("sandbox", token=None) as sandbox:
        return sandbox.call(method, path, **request)
