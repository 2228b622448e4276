"""`vitrin status`, `why`, `lag`: what runs, what arrived, and why something did not."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from vitrin.cli.failures import CliFailure, Exit, ProblemAnswer
from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

IMPORTS_LOOKED_AT = 20
"""Newest imports in which `vitrin why` looks for a row of an item that does not exist."""
LAG_COLUMNS = {
    "platform": "platform",
    "kind": "from the change until",
    "count": "changes",
    "p50": "p50 ms",
    "p95": "p95 ms",
    "p99": "p99 ms",
}
TIMELINE_COLUMNS = {
    "at": "time",
    "platform": "platform",
    "step": "state",
    "summary": "what happened",
    "actor": "by",
    "lag_ms": "lag ms",
}


def register(app: typer.Typer) -> None:
    app.command()(status)
    app.command()(why)
    app.command()(lag)


def status(key: Key = None, as_json: AsJson = False) -> None:
    """Every address, the state of every process, the demo brand with its key, and, with a key, what is stopped or
    stuck. 3 when nothing runs."""
    from vitrin.cli.settings import Var, demo_brand
    from vitrin.cli.supervisor.state import running_state

    output = Output(as_json=as_json)
    var = Var.from_environment()
    state = running_state(var)
    state["demo"] = demo_brand(var)
    state |= _standing(key)
    if as_json:
        output.json(state)
    else:
        _show_status(output, state)
    processes = state.get("processes")
    if isinstance(processes, list) and any(process["state"] != "ready" for process in processes):
        raise SystemExit(int(Exit.REFUSED))


def why(
    item: Annotated[str, typer.Argument(help="Id or SKU of the item.")],
    key: Key = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Newest steps of the timeline to show.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Why an item is, or is not, live: per platform the state, the reason and the fix, then its timeline."""
    from urllib.parse import quote

    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("shop_sync", key) as shop_sync:
        try:
            answer = shop_sync.get(f"/v1/items/{quote(item, safe='')}/timeline", {"limit": limit})
        except ProblemAnswer as missing:
            if missing.code != "item_not_found":
                raise
            raise _never_made(item, key=key, missing=missing) from None
    if as_json:
        output.json(answer)
        return
    name = answer["title"] or ("deleted" if answer["deleted"] else "without a title")
    output.console.print(f"{answer['item_id']}: {name}", style="bold", markup=False)
    if not answer["channels"]:
        output.note("on no platform yet; `vitrin connection list` shows which are connected")
    for channel in answer["channels"]:
        _show_channel(output, channel)
    output.table(answer["data"], columns=TIMELINE_COLUMNS, title="timeline, newest first")


def _never_made(item: str, *, key: str | None, missing: ProblemAnswer) -> CliFailure:
    """No such item: perhaps an import had its row and refused it."""
    from vitrin.cli.client import with_key
    from vitrin.cli.imports import codes_of

    with with_key("catalog", key) as catalog:
        for file in catalog.get("/v1/imports", {"limit": IMPORTS_LOOKED_AT})["data"]:
            asked = {"outcome": "refused", "item_id": item, "limit": 1}
            for row in catalog.get(f"/v1/imports/{file['id']}/rows", asked)["data"]:
                said = "; ".join(f"{problem['message']} {problem['fix']}" for problem in row["problems"])
                return CliFailure(
                    f"there is no item {item}: row {row['row']} of the import {file['id']}"
                    f" ({file['file_name'] or 'without a file name'}) was refused, {', '.join(codes_of(row))}",
                    fix=said,
                    code="row_refused",
                    exit_code=Exit.NOT_FOUND,
                )
    return missing


def lag(
    window_s: Annotated[int, typer.Option("--window-s", min=1, help="Changes of the last seconds.")] = 3600,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """How long changes took until each platform accepted them, and until they were seen there."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("shop_sync", key) as shop_sync:
        answer = shop_sync.get("/v1/lag", {"window_s": window_s})
    output.table(lag_rows(answer), columns=LAG_COLUMNS)
    if as_json:
        output.json(answer)


def lag_rows(answer: Mapping[str, Any]) -> list[dict[str, object]]:
    """One row per channel and hop, of the answer of `GET /v1/lag`."""
    return [
        {
            "platform": entry["platform"],
            "kind": entry["kind"],
            "count": entry["count"],
            **{name: round(value, 1) for name, value in entry["from_change_ms"].items()},
        }
        for entry in answer["data"]
    ]


def _standing(key: str | None) -> dict[str, Any]:
    """Switches and channels of the key's brand; nothing without a key, or while a service does not answer."""
    from vitrin.cli.settings import api_key
    from vitrin.cli.switching import switches_of

    if api_key(key) is None:
        return {}
    try:
        switches, channels = switches_of(key)
    except CliFailure:
        return {}
    return {"outgoing": switches, "channels": channels}


def _show_channel(output: Output, channel: Mapping[str, Any]) -> None:
    colour = {"live": "green", "accepted": "green", "invalid": "red", "rejected": "red"}.get(
        channel["state"], "yellow"
    )
    output.note(f"[bold]{channel['platform']}[/bold]: [{colour}]{channel['state']}[/{colour}]")
    reasons: Sequence[Mapping[str, Any]] = channel["reasons"]
    lines = [f"{reason['code']}: {reason['message']}" for reason in reasons]
    lines += [f"to do: {reason['fix']}" for reason in reasons if reason.get("fix")]
    for line in lines or [channel["summary"]]:
        output.console.print(f"  {line}", markup=False)


def _show_status(output: Output, state: Mapping[str, Any]) -> None:
    output.table(
        state["processes"],
        columns={
            "name": "process",
            "state": "state",
            "pid": "pid",
            "restarts": "restarts",
            "last_exit": "last end",
            "log": "log",
        },
    )
    for process in state["processes"]:
        if process.get("progress"):
            output.note(f"[yellow]{process['name']}[/yellow] {process['progress']}")
    rows = [{"name": name, "url": url} for name, urls in state["urls"].items() for url in urls.values()]
    output.table(rows, columns={"name": "", "url": "addresses"})
    if state.get("channels"):
        from vitrin.cli.switching import CHANNEL_COLUMNS, COLUMNS, shown_channel

        channels = [shown_channel(channel) for channel in state["channels"]]
        output.table(channels, columns=CHANNEL_COLUMNS, title="channels")
        stopped = [switch for switch in state["outgoing"] if switch["stopped"]]
        if stopped:
            output.table(stopped, columns=COLUMNS, title="everything outgoing is stopped")
    if state.get("demo"):
        output.record(state["demo"], title="demo brand")
