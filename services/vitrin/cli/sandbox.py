"""`vitrin sandbox`: serve, accounts, reset, log. A development tool; it stands in for the platforms."""

from typing import Annotated, Any

import typer

from vitrin.cli.options import AsJson
from vitrin.cli.output import Output

app = typer.Typer(help="The local stand-in for the platforms.", no_args_is_help=True)


@app.command()
def serve() -> None:
    """Run the sandbox until Ctrl-C."""
    import asyncio
    import importlib
    import inspect

    from vitrin.cli.process import run_until_stopped, settings_group

    main = importlib.import_module("vitrin.sandbox.main")
    settings = settings_group(importlib.import_module("vitrin.sandbox.settings").SandboxSettings)

    async def body(stop: asyncio.Event) -> None:
        if "stop" in inspect.signature(main.run).parameters:
            await main.run(settings, stop=stop)
        else:
            await main.run(settings)

    run_until_stopped(body)


@app.command()
def accounts(as_json: AsJson = False) -> None:
    """The ready account of each platform: base URL, ids, token."""
    output = Output(as_json=as_json)
    found = sandbox_accounts()
    output.table(
        found,
        columns={
            "platform": "platform",
            "base_url": "base URL",
            "external_ids": "ids",
            "access_token": "access token",
        },
    )
    if as_json:
        output.json({"data": found})


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
    parameters = {"limit": limit} | ({"platform": platform} if platform else {})
    entries = _listed(_call("GET", "/_sandbox/log", params=parameters))
    output.table(
        entries,
        columns={
            "at": "time",
            "platform": "platform",
            "method": "method",
            "path": "path",
            "status": "status",
        },
    )
    if as_json:
        output.json({"data": entries})


def sandbox_accounts() -> list[dict[str, Any]]:
    """`[{platform, base_url, external_ids, access_token}]`. Raises Unreachable."""
    return _listed(_call("GET", "/_sandbox/accounts"))


def _call(method: str, path: str, **request: Any) -> Any:
    from vitrin.cli.client import ServiceClient

    with ServiceClient("sandbox", token=None) as sandbox:
        return sandbox.call(method, path, **request)


def _listed(answer: Any) -> list[dict[str, Any]]:
    return list(answer["data"] if isinstance(answer, dict) else answer)
