"""`vitrin sandbox`: serve, accounts, reset, seed, log, fault, shop. A development tool; stands in for the platforms."""

import json
from collections import deque
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from vitrin.cli import sandbox_faults, sandbox_shops
from vitrin.cli.options import AsJson
from vitrin.cli.output import Output

app = typer.Typer(help="The local stand-in for the platforms.", no_args_is_help=True)
app.add_typer(sandbox_faults.app, name="fault")
app.add_typer(sandbox_shops.app, name="shop")

LOG_PAGE = 1000
SEED_PAGE = 500


@app.command()
def serve() -> None:
    """Run the sandbox until Ctrl-C. Its settings are SANDBOX_*."""
    from vitrin.cli.process import settings_group
    from vitrin.sandbox.main import run
    from vitrin.sandbox.settings import SandboxSettings

    run(settings_group(SandboxSettings))


@app.command()
def accounts(as_json: AsJson = False) -> None:
    """The ready account of each platform: base URL, ids, token."""
    output = Output(as_json=as_json)
    found = sandbox_accounts()
    output.table(
        [{"platform": platform} | account for platform, account in found.items()],
        columns={
            "platform": "platform",
            "base_url": "base URL",
            "external_ids": "ids",
            "access_token": "access token",
        },
    )
    if as_json:
        output.json(found)


@app.command()
def reset(as_json: AsJson = False) -> None:
    """Empty every catalog, the log and the faults."""
    output = Output(as_json=as_json)
    _call("POST", "/_sandbox/reset")
    if as_json:
        output.json({"reset": True})
    else:
        output.note("the sandbox is empty")


@app.command()
def seed(
    catalog_id: Annotated[str, typer.Argument(help="A Meta catalog of the sandbox, as `accounts` names it.")],
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help='JSON: a list of {"item_id": ..., "fields": {"gtin": ..., "link": ..., "title": ...}}.',
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Put items into a catalog as if another system had, before it is connected: what adoption is for."""
    output = Output(as_json=as_json)
    try:
        items = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"{file} is no JSON: {error}") from None
    if not isinstance(items, list):
        raise typer.BadParameter(f"{file} is no list of items")
    made = {"total": 0}
    for start in range(0, len(items), SEED_PAGE):
        body = {"items": items[start : start + SEED_PAGE]}
        made = _call("POST", f"/_sandbox/state/meta/{quote(catalog_id, safe='')}", json=body)
    if as_json:
        output.json(made)
    else:
        output.note(f"the catalog holds {made['total']} items")


@app.command()
def log(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Newest requests to show.")] = 20,
    platform: Annotated[str | None, typer.Option(help="Only this platform.")] = None,
    as_json: AsJson = False,
) -> None:
    """The requests that the sandbox answered, newest last."""
    output = Output(as_json=as_json)
    entries = _newest(limit, platform)
    output.table(
        entries,
        columns={
            "received_at": "time",
            "platform": "platform",
            "method": "method",
            "path": "path",
            "status": "status",
            "item_count": "items",
            "outcome": "outcome",
            "fault": "fault",
        },
    )
    if as_json:
        output.json({"entries": entries})


def sandbox_accounts() -> dict[str, dict[str, Any]]:
    """Platform -> `{base_url, external_ids, access_token}`. Raises Unreachable."""
    found: dict[str, dict[str, Any]] = _call("GET", "/_sandbox/accounts")
    return found


def open_sandbox_account(platform: str) -> dict[str, Any]:
    """A further account of the platform, with an empty catalog of its own; the same shape. Raises Unreachable."""
    account: dict[str, Any] = _call("POST", "/_sandbox/accounts", json={"platform": platform})
    return account


def _newest(limit: int, platform: str | None) -> list[dict[str, Any]]:
    """The log is read from its beginning, page by page; the last entries are kept."""
    newest: deque[dict[str, Any]] = deque(maxlen=limit)
    since = 0
    while True:
        chosen = {"since": since, "limit": LOG_PAGE} | ({"platform": platform} if platform else {})
        page = _call("GET", "/_sandbox/log", params=chosen)
        newest.extend(page["entries"])
        if page["next_since"] == since:
            return list(newest)
        since = page["next_since"]


def _call(method: str, path: str, **request: Any) -> Any:
    from vitrin.cli.client import ServiceClient

    with ServiceClient("sandbox", token=None) as sandbox:
        return sandbox.call(method, path, **request)
