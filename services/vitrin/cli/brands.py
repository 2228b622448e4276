"""`vitrin brand`: create, list, show, change."""

import os
from typing import Annotated, Any

import typer

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

app = typer.Typer(help="Brands: one shop each.", no_args_is_help=True)

COLUMNS = {
    "id": "id",
    "name": "name",
    "slug": "slug",
    "default_currency": "currency",
    "default_market": "market",
    "language": "language",
    "storefront_url": "storefront",
}


@app.command()
def create(
    *,
    name: Annotated[str, typer.Argument(help="Name of the brand.")],
    storefront_url: Annotated[str, typer.Option("--storefront-url", help="Where its shop is.")],
    currency: Annotated[str, typer.Option(help="Default currency, ISO 4217.")],
    market: Annotated[str, typer.Option(help="Default market, ISO 3166-1 alpha-2.")],
    slug: Annotated[
        str | None, typer.Option(help="Short name for addresses; made of the name by default.")
    ] = None,
    language: Annotated[str, typer.Option(help="Default language, BCP 47.")] = "en",
    time_zone: Annotated[str, typer.Option("--time-zone", help="IANA time zone.")] = "UTC",
    as_json: AsJson = False,
) -> None:
    """Create a brand and its first owner keys, which are shown once. Needs the operator token, or for the first brand
    of a server its bootstrap token (ACCOUNTS_BOOTSTRAP_TOKEN)."""
    output = Output(as_json=as_json)
    body = {
        "name": name,
        "slug": slug or slug_of(name),
        "storefront_url": storefront_url,
        "default_currency": currency,
        "default_market": market,
        "language": language,
        "time_zone": time_zone,
    }
    answer = create_brand(body)
    if as_json:
        output.json(answer)
        return
    output.record(answer["brand"], keys=tuple(COLUMNS))
    output.table(
        answer["keys"], columns={"mode": "mode", "role": "role", "key": "key (shown once: keep it now)"}
    )


@app.command("list")
def list_(key: Key = None, as_json: AsJson = False) -> None:
    """The brands that the key may see: its own."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        brands = list(accounts.pages("/v1/brands"))
    output.table(brands, columns=COLUMNS)
    if as_json:
        output.json({"data": brands})


@app.command()
def show(
    brand_id: Annotated[str | None, typer.Argument(help="Id of the brand; the key's own by default.")] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """One brand with all its defaults."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("accounts", key) as accounts:
        chosen = brand_id or next(accounts.pages("/v1/brands"))["id"]
        brand = accounts.get(f"/v1/brands/{chosen}")
    if as_json:
        output.json(brand)
    else:
        output.record(brand)


@app.command()
def change(
    *,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    storefront_url: Annotated[str | None, typer.Option("--storefront-url", help="Where its shop is.")] = None,
    approval: Annotated[
        bool | None,
        typer.Option(
            "--approval-needs-other-person/--author-may-approve",
            help="Whether whoever caused what waits for an approval may approve it.",
        ),
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Change the key's brand; what is left out stays."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    wanted = {"name": name, "storefront_url": storefront_url, "approval_needs_other_person": approval}
    body = {field: value for field, value in wanted.items() if value is not None}
    with with_key("accounts", key) as accounts:
        chosen = next(accounts.pages("/v1/brands"))["id"]
        brand = accounts.call("PATCH", f"/v1/brands/{chosen}", json=body)
    if as_json:
        output.json(brand)
    else:
        output.record(brand)


def create_brand(body: dict[str, str]) -> dict[str, Any]:
    """`{brand, keys: [{mode, role, key}]}`; with the operator token (the environment's or the local one), or the
    bootstrap token of a server that has no brand yet."""
    from vitrin.cli.client import ServiceClient
    from vitrin.cli.settings import operator_token

    token = operator_token() or os.environ.get("ACCOUNTS_BOOTSTRAP_TOKEN")
    if not token:
        raise CliFailure(
            "no operator token",
            fix="set VITRIN_OPERATOR_TOKEN to the one that accounts was started with; for the first brand of a server"
            " ACCOUNTS_BOOTSTRAP_TOKEN will do",
            code="operator_token_missing",
            exit_code=Exit.UNAUTHORISED,
        )
    with ServiceClient("accounts", token=token) as accounts:
        answer: dict[str, Any] = accounts.post("/v1/brands", body)
    return answer


def slug_of(name: str) -> str:
    """`North & Pine` -> `north-pine`."""
    letters = "".join(
        character if character.isascii() and character.isalnum() else " " for character in name.lower()
    )
    return "-".join(letters.split())
