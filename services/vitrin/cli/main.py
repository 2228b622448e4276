"""`vitrin`: the entry point. Exit codes are in `vitrin.cli.failures`."""

import sys
from collections.abc import Sequence

import typer

from vitrin.cli import (
    adoption,
    audit,
    brands,
    checkout,
    connecting,
    connections,
    events,
    exporting,
    imports,
    keys,
    leaving,
    messages,
    notifications,
    orders,
    people,
    privacy,
    removals,
    republish,
    running,
    sandbox,
    shops,
    switching,
    watching,
    webhooks,
)
from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.output import Output

app = typer.Typer(
    name="vitrin",
    help="The open backend for social commerce and ads: one catalog in, every arrival proven.",
    epilog="Exit codes: 0 done, 1 refused or a check failed, 2 usage, 3 unreachable, 4 not found, "
    "5 no right, 6 the service failed, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
running.register(app)
leaving.register(brands.app)
app.add_typer(brands.app, name="brand")
app.add_typer(keys.app, name="key")
app.add_typer(connections.app, name="connection")
people.register(app)
audit.register(app)
exporting.register(app)
connecting.register(app, connections.app)
imports.register(app)
republish.register(app)
watching.register(app)
switching.register(app)
app.add_typer(adoption.app, name="adoption")
app.add_typer(removals.app, name="removals")
app.add_typer(shops.app, name="shops")
app.add_typer(orders.app, name="orders")
app.add_typer(privacy.app, name="privacy")
app.add_typer(checkout.app, name="checkout")
messages.register(app)
webhooks.register(app)
notifications.register(app)
app.add_typer(events.app, name="events")
app.add_typer(sandbox.app, name="sandbox")


def run(arguments: Sequence[str]) -> int:
    """One command line; returns the exit code."""
    output = Output(as_json="--json" in arguments)
    try:
        app(args=list(arguments), prog_name="vitrin")
    except CliFailure as failure:
        output.failure(failure)
        return int(failure.exit_code)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(Exit.REFUSED)
    return int(Exit.DONE)


def main() -> None:
    sys.exit(run(sys.argv[1:]))
