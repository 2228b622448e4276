"""`vitrin connect`: consent on the platform, then the choice of the catalog; and the steps of it for programs."""

import sys
import time
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrin.cli.connections import Mode, pairs
from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

if TYPE_CHECKING:
    from vitrin.cli.client import ServiceClient

WAIT_S = 900.0
POLL_S = 1.0
ASSET_COLUMNS = {"kind": "kind", "id": "id", "name": "name", "implies": "comes with"}
Ids = Annotated[
    list[str] | None,
    typer.Option("--id", help="Choose without being asked: catalog_id=123, repeatable."),
]


def register(app: typer.Typer, connections: typer.Typer) -> None:
    app.command()(connect)
    connections.command()(assets)
    connections.command()(choose)
    connections.command("renew-token")(renew_token)
    connections.command("app")(own_app)


def connect(
    *,
    platform: Annotated[str, typer.Argument(help="meta, pinterest or shopify.")],
    mode: Annotated[
        Mode, typer.Option(help="sandbox: the local stand-in; live: the real platform.")
    ] = Mode.SANDBOX,
    external_id: Ids = None,
    shop: Annotated[
        str | None, typer.Option("--shop", help="Of shopify, which one: acme.myshopify.com.")
    ] = None,
    connection: Annotated[
        str | None, typer.Option("--connection", help="Connect this one again: same catalog, new token.")
    ] = None,
    only_assets: Annotated[
        bool, typer.Option("--assets", help="Stop after the consent and show what there is to choose from.")
    ] = False,
    approve: Annotated[
        bool, typer.Option("--approve", help="Sandbox only: consent by itself, without a browser.")
    ] = False,
    new_account: Annotated[
        bool, typer.Option("--new-account", help="With --approve: as a fresh account of the sandbox.")
    ] = False,
    account: Annotated[
        str | None, typer.Option("--account", help="With --approve: as the sandbox's account with this id.")
    ] = None,
    browser: Annotated[
        bool, typer.Option(help="Open the address in a browser; else it is only printed.")
    ] = True,
    wait_s: Annotated[
        float, typer.Option("--wait-s", min=1, max=WAIT_S, help="Seconds to wait for the consent.")
    ] = WAIT_S,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Connect a platform by consent: opens or prints the address, waits, asks which catalog, shows the connection."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    if approve and mode is not Mode.SANDBOX:
        raise CliFailure(
            "--approve is for the sandbox", fix="leave it out", code="approve_live", exit_code=Exit.USAGE
        )
    chosen = pairs(external_id or [])
    with with_key("accounts", key) as accounts:
        body: dict[str, Any] = {"platform": platform, "mode": mode.value}
        if connection:
            body["connection_id"] = connection
        if shop:
            body["external_ids"] = {"shop": shop}
        started = accounts.post("/v1/connections:authorize", body)
        if approve:
            approve_in_sandbox(started["authorize_url"], platform, account=account, new_account=new_account)
        else:
            _send_somebody(output, started, browser=browser)
        connection_id = _wait(accounts, started["attempt_id"], wait_s=wait_s)
        found = accounts.get(f"/v1/connections/{connection_id}")
        if found["state"] == "choose_assets":
            offered = accounts.get(f"/v1/connections/{connection_id}/assets")
            if only_assets:
                _show_assets(output, offered)
                return
            found = _choose(output, accounts, offered, chosen)
    _show(output, found)


def assets(
    connection_id: Annotated[str, typer.Argument(help="Id of the connection.")],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """What the consent of a connection reaches: businesses, catalogs, pixels or tags, ad accounts, pages."""
    from vitrin.cli.client import with_key

    with with_key("accounts", key) as accounts:
        _show_assets(Output(as_json=as_json), accounts.get(f"/v1/connections/{connection_id}/assets"))


def choose(
    connection_id: Annotated[str, typer.Argument(help="Id of the connection.")],
    external_id: Ids = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Choose the catalog after a consent: the connection becomes active and its first sync starts."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        offered = accounts.get(f"/v1/connections/{connection_id}/assets")
        _show(output, _choose(output, accounts, offered, pairs(external_id or [])))


def renew_token(
    connection_id: Annotated[str, typer.Argument(help="Id of the connection.")],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Renew the token of a connection by consent now, instead of when it is due."""
    from vitrin.cli.client import with_key

    with with_key("accounts", key) as accounts:
        found = accounts.call("POST", f"/v1/connections/{connection_id}:renew")
    _show(Output(as_json=as_json), found)


def own_app(
    platform: Annotated[str, typer.Argument(help="meta or pinterest.")],
    app_id: Annotated[str, typer.Option("--app-id", help="Id of the brand's own app at the platform.")],
    mode: Annotated[Mode, typer.Option(help="sandbox or live.")] = Mode.LIVE,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Ask for consent with the brand's own app from now on; its secret is read from stdin."""
    from vitrin.cli.client import with_key

    secret = sys.stdin.readline().strip()
    if not secret:
        raise CliFailure("no app secret", fix="pass it on stdin", code="secret_missing", exit_code=Exit.USAGE)
    body = {"platform": platform, "mode": mode.value, "app_id": app_id, "app_secret": secret}
    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        saved = accounts.call("PUT", "/v1/oauth/apps", json=body)
    if as_json:
        output.json(saved)
    else:
        output.record(saved)


def _send_somebody(output: Output, started: dict[str, Any], *, browser: bool) -> None:
    url = started["authorize_url"]
    from rich.markup import escape

    opened = browser and not output.as_json and sys.stdout.isatty() and webbrowser.open(url)
    output.note("the browser shows the consent:" if opened else "open this address in a browser:")
    output.note(escape(url))
    output.note(f"[dim]the platform sends it back to {escape(started['redirect_uri'])}; waiting[/dim]")


def approve_in_sandbox(
    url: str, platform: str, *, account: str | None = None, new_account: bool = False
) -> None:
    """What a person would do on the sandbox's screen: approve, and be sent back to accounts."""
    import httpx

    from vitrin.cli.sandbox import open_sandbox_account

    form = {"decision": "approve", **({"account": account} if account else {})}
    if new_account:
        form["account"] = open_sandbox_account(platform)["external_ids"]["catalog_id"]
    try:
        with httpx.Client(
            trust_env=False, timeout=60
        ) as http:  # one browser: it keeps the cookie of the beginning
            begun = http.get(url)
            if begun.status_code != httpx.codes.FOUND:
                raise CliFailure(f"the consent cannot begin: {begun.status_code}", code="no_consent")
            answer = http.post(begun.headers["location"], data=form)
            if answer.status_code != httpx.codes.FOUND:
                raise CliFailure(f"the sandbox shows no consent: {answer.status_code}", code="no_consent")
            # Refusals are read from the attempt, with their fix.
            http.get(answer.headers["location"])
    except httpx.TransportError as silence:
        raise CliFailure(
            f"cannot reach {url.partition('?')[0]}: {silence}",
            fix="start the sandbox with `vitrin up`",
            code="unreachable",
            exit_code=Exit.UNREACHABLE,
        ) from silence


def _wait(accounts: "ServiceClient", attempt_id: str, *, wait_s: float) -> str:
    """The connection that came out of the consent."""
    end = time.monotonic() + wait_s
    while True:
        attempt = accounts.get(f"/v1/oauth/attempts/{attempt_id}")
        if attempt["state"] == "connected":
            return str(attempt["connection_id"])
        if attempt["problem"]:
            problem = attempt["problem"]
            raise CliFailure(problem["detail"], fix=problem["fix"], code=problem["code"])
        if attempt["state"] == "expired" or time.monotonic() > end:
            raise CliFailure(
                "nobody consented in time", fix="start again: vitrin connect", code="consent_awaited"
            )
        time.sleep(POLL_S)


def _choose(
    output: Output, accounts: "ServiceClient", offered: dict[str, Any], chosen: dict[str, str]
) -> dict[str, Any]:
    """What is required and not given is asked for, unless there is only one of it or it follows from another."""
    ids = dict(chosen)
    for kind in reversed(offered["required"]):  # the catalog first: the account it belongs to follows from it
        options = [one for one in offered["assets"] if one["kind"] == kind]
        if kind in ids or any(kind in _implied(offered, ids, name) for name in ids):
            continue
        if not options:
            raise CliFailure(
                f"the consent reaches no {kind}",
                fix="make one at the platform, or consent with another account",
                code="nothing_to_choose",
            )
        if len(options) == 1:
            ids[kind] = options[0]["id"]
            continue
        ids[kind] = _asked(output, kind, options, offered["connection_id"])
    path = f"/v1/connections/{offered['connection_id']}:choose"
    made: dict[str, Any] = accounts.post(path, {"external_ids": ids})
    return made


def _implied(offered: dict[str, Any], ids: dict[str, str], kind: str) -> dict[str, str]:
    for one in offered["assets"]:
        if (one["kind"], one["id"]) == (kind, ids[kind]):
            implied: dict[str, str] = one["implies"]
            return implied
    return {}


def _asked(
    output: Output,
    kind: str,
    options: list[dict[str, Any]],
    connection_id: str,
    read: Callable[..., Any] = typer.prompt,
) -> str:
    if output.as_json or not sys.stdin.isatty():
        known = ", ".join(f"{one['id']} ({one['name']})" for one in options[:20])
        raise CliFailure(
            f"there are {len(options)} to choose from: {known}",
            fix=f"vitrin connection choose {connection_id} --id {kind}=...",
            code="choice_needed",
            exit_code=Exit.USAGE,
        )
    rows = [{"number": number, **one} for number, one in enumerate(options, start=1)]
    output.table(rows, columns={"number": "", "id": kind, "name": "name"})
    number = int(read(f"which {kind}", type=int))
    if not 1 <= number <= len(options):
        raise CliFailure(f"there is no number {number}", code="no_such_choice", exit_code=Exit.USAGE)
    return str(options[number - 1]["id"])


def _show_assets(output: Output, offered: dict[str, Any]) -> None:
    if output.as_json:
        output.json(offered)
        return
    output.table(offered["assets"], columns=ASSET_COLUMNS, title=f"connection {offered['connection_id']}")
    if offered["state"] == "choose_assets":
        output.note(f"next: vitrin connection choose {offered['connection_id']} --id catalog_id=...")


def _show(output: Output, connection: dict[str, Any]) -> None:
    if output.as_json:
        output.json(connection)
        return
    output.record(connection)
    for lacking in connection["missing_scopes"]:
        output.note(f"not granted: {lacking['scope']}, which {lacking['purpose']}")
