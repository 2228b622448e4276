"""`vitrin brand offboard`, `keep`, `offboarding`, `receipt`: a brand leaves."""

from typing import Annotated, Any

import typer

from vitrin.cli.failures import CliFailure, Exit, ProblemAnswer
from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

SERVICES = ("accounts", "catalog", "shop_sync", "notify", "retargeting")
COLUMNS = {"service": "service", "table": "table", "rows": "rows removed"}


def register(app: typer.Typer) -> None:
    app.command()(offboard)
    app.command()(keep)
    app.command()(offboarding)
    app.command()(receipt)


def offboard(
    *,
    confirm: Annotated[
        str | None, typer.Option(help="The brand's slug; without it nothing is done but said what would be.")
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """End the key's brand after a grace. At once nothing goes out any more; then keys, tokens and all data go. Items
    stay on the platforms: delete them before, if they shall go. Run `vitrin export` first."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        brand = next(accounts.pages("/v1/brands"))
        if confirm is None:
            raise CliFailure(
                f"this would end {brand['name']} and destroy everything that is kept of it; nothing was done",
                fix=f"run `vitrin export --out DIR`, then this again with --confirm {brand['slug']}",
                code="offboarding_unconfirmed",
                exit_code=Exit.REFUSED,
            )
        answer = accounts.post(f"/v1/brands/{brand['id']}:offboard", {"confirm": confirm})
    _show(output, answer)
    if answer["state"] == "asked":
        output.note("another owner has to ask for it too: the same command with a key of theirs")
    else:
        output.note(f"nothing goes out any more; until {answer['due_at']} `vitrin brand keep` takes it back")


def keep(*, key: Key = None, as_json: AsJson = False) -> None:
    """Take the end of the key's brand back, before it is carried out."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        brand = next(accounts.pages("/v1/brands"))
        accounts.call("POST", f"/v1/brands/{brand['id']}:keep")
        answer = accounts.get(f"/v1/brands/{brand['id']}/offboarding")
    _show(output, answer)


def offboarding(*, key: Key = None, as_json: AsJson = False) -> None:
    """How far the end of the key's brand is."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        brand = next(accounts.pages("/v1/brands"))
        answer = accounts.get(f"/v1/brands/{brand['id']}/offboarding")
    _show(output, answer)


def receipt(
    brand_id: Annotated[str, typer.Argument(help="Id of the brand that has left.")],
    *,
    as_json: AsJson = False,
) -> None:
    """What was destroyed of a brand that has left: keys, connections, and rows by table of every service, with dates.
    Needs the operator token. Every service's rows are final once its `finished_at` is there."""
    from vitrin.cli.client import ServiceClient
    from vitrin.cli.settings import operator_token

    output = Output(as_json=as_json)
    token = operator_token()
    if token is None:
        raise CliFailure(
            "no operator token",
            fix="set VITRIN_OPERATOR_TOKEN to the one that the services were started with",
            code="operator_token_missing",
            exit_code=Exit.UNAUTHORISED,
        )
    purges: dict[str, Any] = {}
    with ServiceClient("accounts", token=token) as accounts:
        ended = accounts.get(f"/v1/ops/offboardings/{brand_id}")
    for service in SERVICES:
        with ServiceClient(service, token=token) as client:
            purges[service] = _purge(client.get, brand_id)
    if as_json:
        output.json({"offboarding": ended, "purges": purges})
        return
    output.record(ended)
    for service, purge in purges.items():
        finished = "not begun" if purge is None else f"finished {purge['finished_at'] or 'not yet'}"
        counts = {} if purge is None else purge["counts"]
        rows = [{"service": service, "table": table, "rows": rows} for table, rows in sorted(counts.items())]
        output.table(rows, columns=COLUMNS, title=f"{service}: {finished}")


def _purge(get: Any, brand_id: str) -> Any:
    try:
        return get(f"/v1/ops/purges/{brand_id}")
    except ProblemAnswer as answer:
        if answer.problem.get("code") == "purge_not_found":
            return None
        raise


def _show(output: Output, answer: dict[str, Any]) -> None:
    if output.as_json:
        output.json(answer)
    else:
        output.record(answer)
