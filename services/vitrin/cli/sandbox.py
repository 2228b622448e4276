"""`vitrin sandbox`: serve, accounts, reset, log, fault, shop. A development tool; it stands in for the platforms."""

from collections import deque
from typing import Annotated, Any

import typer

from vitrin.cli import sandbox_faults, sandbox_shops
from vitrin.cli.options import AsJson
from vitrin.cli.output import Output

app = typer.Typer(help="The local stand-in for the platforms.", no_args_is_help=True)
app.add_typer(sandbox_faults.app, name="fault")
app.add_typer(sandbox_shops.app, name="shop")

LOG_PAGE = 1000


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
