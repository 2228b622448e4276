"""`vitrin key`: create, list, rotate, revoke."""

from enum import StrEnum
from typing import Annotated

import typer

from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

app = typer.Typer(help="API keys of the brand.", no_args_is_help=True)

COLUMNS = {
    "id": "id",
    "name": "name",
    "kind": "kind",
    "mode": "mode",
    "role": "role",
    "scopes": "scopes",
    "created_at": "created",
    "last_used_at": "last used",
    "expires_at": "expires",
    "revoked_at": "revoked",
}


class Mode(StrEnum):
    LIVE = "live"
    TEST = "test"


class Kind(StrEnum):
    SECRET = "secret"  # noqa: S105 - a kind of key, not a secret
    PUBLISHABLE = "publishable"


@app.command()
def create(
    *,
    name: Annotated[str, typer.Option(help="What the key is for.")],
    mode: Annotated[Mode, typer.Option(help="Test keys see only sandbox connections.")] = Mode.TEST,
    kind: Annotated[
        Kind, typer.Option(help="Publishable keys may only send storefront events.")
    ] = Kind.SECRET,
    role: Annotated[str, typer.Option(help="owner, editor, approver, billing or viewer.")] = "editor",
    scope: Annotated[list[str] | None, typer.Option(help="Repeatable; all of the role by default.")] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Create a key. It is shown once."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    body: dict[str, object] = {"name": name, "mode": mode.value, "kind": kind.value, "role": role}
    if scope:
        body["scopes"] = scope
    with with_key("accounts", key) as accounts:
        answer = accounts.post("/v1/api-keys", body)
    if as_json:
        output.json(answer)
    else:
        output.record(answer)
        output.note("The key is shown this once: keep it now.")


@app.command("list")
def list_(key: Key = None, as_json: AsJson = False) -> None:
    """All keys of the brand, without their secrets."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        keys = list(accounts.pages("/v1/api-keys"))
    output.table(keys, columns=COLUMNS)
    if as_json:
        output.json({"data": keys})


@app.command()
def rotate(
    *,
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `vitrin key list` shows it.")],
    overlap_s: Annotated[
        int, typer.Option("--overlap-s", help="Seconds that the old key still works; 0: it stops at once.")
    ] = 86_400,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Replace a key by one of the same power; both work until the overlap is over."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        answer = accounts.post(f"/v1/api-keys/{key_id}:rotate", {"overlap_s": overlap_s})
    if as_json:
        output.json(answer)
    else:
        output.record(answer)
        output.note("The key is shown this once: keep it now.")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `vitrin key list` shows it.")],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key; it stops working in every service within a second."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        accounts.call("DELETE", f"/v1/api-keys/{key_id}")
    if as_json:
        output.json({"id": key_id, "revoked": True})
    else:
        output.note(f"revoked {key_id}")
