"""`vitrin audit`: who did what."""

from itertools import islice
from typing import Annotated

import typer

from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

COLUMNS = {"at": "at", "actor": "who", "action": "did", "object": "to", "changed": "changed"}


def register(app: typer.Typer) -> None:
    app.command()(audit)


def audit(
    *,
    actor: Annotated[str | None, typer.Option(help="key:<id>, operator or service.")] = None,
    action: Annotated[str | None, typer.Option(help="Such as key.revoke, or key for all of keys.")] = None,
    object_: Annotated[str | None, typer.Option("--object", help="Such as key:<id>.")] = None,
    since: Annotated[str | None, typer.Option(help="ISO 8601 with its zone.")] = None,
    until: Annotated[str | None, typer.Option(help="ISO 8601 with its zone.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Entries at most.")] = 50,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Changes of the brand, its keys, connections and switches, the newest first."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    wanted = {"actor": actor, "action": action, "object": object_, "since": since, "until": until}
    with with_key("accounts", key) as accounts:
        entries = list(islice(accounts.pages("/v1/audit", wanted), limit))
    output.table(entries, columns=COLUMNS)
    if as_json:
        output.json({"data": entries})
