"""`vitrin connection`: create, list, delete."""

import os
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

app = typer.Typer(help="Connections of the brand to platforms.", no_args_is_help=True)

TOKEN_SETTING = "VITRIN_PLATFORM_TOKEN"  # noqa: S105 - the name of a variable
SECRET_SETTING = "VITRIN_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
COLUMNS = {
    "id": "id",
    "platform": "platform",
    "mode": "mode",
    "state": "state",
    "external_ids": "ids on the platform",
    "expires_at": "token expires",
    "renewal": "renewal",
    "last_error": "last error",
}


class Mode(StrEnum):
    SANDBOX = "sandbox"
    LIVE = "live"


@app.command()
def create(
    *,
    platform: Annotated[str, typer.Argument(help="meta, pinterest, or a shop: shopify, woocommerce.")],
    mode: Annotated[
        Mode, typer.Option(help="sandbox: the local stand-in; live: the real platform.")
    ] = Mode.SANDBOX,
    external_id: Annotated[
        list[str] | None,
        typer.Option("--id", help="name=value, repeatable: catalog_id=123, shop=..., store=https://..."),
    ] = None,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help=f"Read the access token from stdin, else {TOKEN_SETTING}.")
    ] = False,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="Of a sandbox that is not the local one.")
    ] = None,
    id_template: Annotated[
        str | None,
        typer.Option("--id-template", help="{id}, {sku}, shopify_{country}_{product}_{variant}, ..."),
    ] = None,
    new_account: Annotated[
        bool,
        typer.Option("--new-account", help="A sandbox account of its own: for every brand after the first."),
    ] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Connect a platform or a shop. In sandbox mode ids and token of a platform default to the local sandbox's ready
    account. What a shop signs its webhooks with is read from VITRIN_WEBHOOK_SECRET (Shopify: the API secret key)."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    body: dict[str, Any] = {"platform": platform, "mode": mode.value}
    if mode is Mode.SANDBOX:
        body |= _sandbox_account(platform, new=new_account, optional=bool(external_id))
    if external_id:
        body["external_ids"] = pairs(external_id)
    if token_stdin or os.environ.get(TOKEN_SETTING) or "access_token" not in body:
        body["access_token"] = _given_token(token_stdin)
    if os.environ.get(SECRET_SETTING):
        body["webhook_secret"] = os.environ[SECRET_SETTING]
    body |= {name: value for name, value in (("base_url", base_url), ("id_template", id_template)) if value}
    with with_key("accounts", key) as accounts:
        connection = accounts.post("/v1/connections", body)
    if as_json:
        output.json(connection)
    else:
        output.record(connection)


@app.command()
def renew(
    connection_id: Annotated[str, typer.Argument(help="Id of the connection.")],
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help=f"Read the new token from stdin instead of {TOKEN_SETTING}.")
    ] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Give a connection a new access token: it becomes active again, and its waiting work goes on."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    body = {"access_token": _given_token(token_stdin)}
    with with_key("accounts", key) as accounts:
        connection = accounts.call("PATCH", f"/v1/connections/{connection_id}", json=body)
    if as_json:
        output.json(connection)
    else:
        output.record(connection)


@app.command("list")
def list_(key: Key = None, as_json: AsJson = False) -> None:
    """All connections; tokens are never shown."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        connections = list(accounts.pages("/v1/connections"))
    output.table(
        [one | {"renewal": one["token"]["renewal"].replace("_", " ")} for one in connections], columns=COLUMNS
    )
    if as_json:
        output.json({"data": connections})


@app.command()
def delete(
    connection_id: Annotated[str, typer.Argument(help="Id of the connection.")],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Delete a connection: its work stops. What the platform already shows stays there."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        accounts.call("DELETE", f"/v1/connections/{connection_id}")
    if as_json:
        output.json({"id": connection_id, "deleted": True})
    else:
        output.note(f"deleted {connection_id}")


def _given_token(token_stdin: bool) -> str:
    token = sys.stdin.readline().strip() if token_stdin else os.environ.get(TOKEN_SETTING)
    if not token:
        raise CliFailure(
            "no access token",
            fix=f"pass --token-stdin or set {TOKEN_SETTING}",
            code="token_missing",
            exit_code=Exit.USAGE,
        )
    return token


def sandbox_connection(account: dict[str, Any]) -> dict[str, Any]:
    """The body that connects a ready sandbox account."""
    return {
        "base_url": account["base_url"],
        "external_ids": account["external_ids"],
        "access_token": account["access_token"],
    }


def _sandbox_account(platform: str, *, new: bool, optional: bool) -> dict[str, Any]:
    from vitrin.cli.failures import Unreachable
    from vitrin.cli.sandbox import open_sandbox_account, sandbox_accounts

    try:
        ready = sandbox_accounts()
    except Unreachable:
        if optional:
            return {}
        raise
    account = open_sandbox_account(platform) if new and platform in ready else ready.get(platform)
    if account is None and not optional:
        raise CliFailure(
            f"the sandbox does not play {platform!r}",
            fix=f"use one of: {', '.join(sorted(ready))}",
            code="platform_unknown",
            exit_code=Exit.USAGE,
        )
    return {} if account is None else sandbox_connection(account)


def pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise CliFailure(f"--id {text!r} is not name=value", code="id_malformed", exit_code=Exit.USAGE)
        pairs[name] = value
    return pairs
