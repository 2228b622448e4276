"""`vitrin sandbox shop ...`: shops that the sandbox plays. What is changed in one, it tells by its webhooks."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vitrin.cli.options import AsJson
from vitrin.cli.output import Output

app = typer.Typer(
    help="Shops that the sandbox plays, Shopify's and WooCommerce's: make them, change them, see their webhooks.",
    no_args_is_help=True,
)

PATH = "/_sandbox/shops"
Kind = Annotated[str, typer.Argument(help="shopify or woocommerce.")]
Host = Annotated[str, typer.Argument(help="acme.myshopify.com, or the host of a WooCommerce store.")]
Id = Annotated[int, typer.Argument(help="An id as `products` and `orders` show it.")]


@app.command()
def create(
    kind: Kind,
    host: Host,
    *,
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "EUR",
    country: Annotated[str, typer.Option(help="ISO 3166, two letters.")] = "DE",
    location: Annotated[list[str] | None, typer.Option(help="A location; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """A fresh shop with a token (or keys) of its own."""
    body = {
        "kind": kind,
        "host": host,
        "currency": currency,
        "country": country,
        "locations": location or ["Main"],
    }
    _show(_call("POST", PATH, json=body), as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every shop."""
    output = Output(as_json=as_json)
    found = _call("GET", PATH)
    output.table(
        found["shops"],
        columns={
            "kind": "kind",
            "host": "host",
            "base_url": "base URL",
            "products": "products",
            "plan": "state",
        },
    )
    if as_json:
        output.json(found)


@app.command()
def show(kind: Kind, host: Host, as_json: AsJson = False) -> None:
    """One shop: how to connect it, its locations and subscriptions."""
    _show(_call("GET", f"{PATH}/{kind}/{host}"), as_json=as_json)


@app.command()
def seed(
    kind: Kind,
    host: Host,
    *,
    csv: Annotated[Path | None, typer.Option(help="A Shopify or WooCommerce export.")] = None,
    products: Annotated[int, typer.Option(help="Or so many made-up products.")] = 0,
    variants: Annotated[int, typer.Option(help="Variants of each.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Goods that were there before anybody listened: no webhook tells of them."""
    path = f"{PATH}/{kind}/{host}/seed"
    if csv is not None:
        found = _call("POST", path, content=csv.read_bytes(), headers={"content-type": "text/csv"})
    else:
        found = _call("POST", path, json={"products": products, "variants_each": variants})
    _note(found, f"{found['products']} products", as_json=as_json)


@app.command("products")
def products_(kind: Kind, host: Host, as_json: AsJson = False) -> None:
    """The first products with their variants."""
    found = _call("GET", f"{PATH}/{kind}/{host}/products")
    rows = [
        {
            "product": one["id"],
            "title": one["title"],
            "variant": each["id"],
            "sku": each["sku"],
            "price": each["price"],
        }
        for one in found["items"]
        for each in one["variants"]
    ]
    output = Output(as_json=as_json)
    output.table(
        rows,
        columns={
            "product": "product",
            "title": "title",
            "variant": "variant",
            "sku": "SKU",
            "price": "price",
        },
    )
    if as_json:
        output.json(found)


@app.command()
def price(kind: Kind, host: Host, variant_id: Id, amount: str, as_json: AsJson = False) -> None:
    """Another price of a variant."""
    found = _call("PATCH", f"{PATH}/{kind}/{host}/variants/{variant_id}", json={"price": amount})
    _told(found, as_json=as_json)


@app.command()
def title(kind: Kind, host: Host, product_id: Id, text: str, as_json: AsJson = False) -> None:
    """Another title of a product."""
    found = _call("PATCH", f"{PATH}/{kind}/{host}/products/{product_id}", json={"title": text})
    _told(found, as_json=as_json)


@app.command()
def delete(kind: Kind, host: Host, product_id: Id, as_json: AsJson = False) -> None:
    """Delete a product."""
    _told(_call("DELETE", f"{PATH}/{kind}/{host}/products/{product_id}"), as_json=as_json)


@app.command()
def stock(
    kind: Kind,
    host: Host,
    variant_id: Id,
    available: Annotated[int, typer.Argument(help="Pieces.")],
    *,
    location: Annotated[
        int | None, typer.Option(help="Id; any other than the shop's own is a hidden one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Stock of a variant at one location, the first by default."""
    body = {"variant_id": variant_id, "available": available, "location_id": location}
    _told(_call("POST", f"{PATH}/{kind}/{host}/stock", json=body), as_json=as_json)


@app.command()
def order(
    kind: Kind,
    host: Host,
    variant_id: Id,
    *,
    quantity: Annotated[int, typer.Option(min=1)] = 1,
    unpaid: Annotated[bool, typer.Option("--unpaid", help="Not paid yet.")] = False,
    customer: Annotated[bool, typer.Option("--customer", help="By a customer, else by a guest.")] = False,
    as_json: AsJson = False,
) -> None:
    """Place an order."""
    body = {
        "lines": [{"variant_id": variant_id, "quantity": quantity}],
        "paid": not unpaid,
        "person": {"customer_id": 0 if customer else None},
    }
    _told(_call("POST", f"{PATH}/{kind}/{host}/orders", json=body), as_json=as_json)


@app.command("order-do")
def order_do(
    kind: Kind,
    host: Host,
    order_id: Id,
    what: Annotated[str, typer.Argument(help="pay, touch, cancel, ask or erase (the person's data).")],
    as_json: AsJson = False,
) -> None:
    """Go on with an order; refunds of single lines by `POST .../orders/{id}/refund`."""
    command, body = ("ask", {"erase": True}) if what == "erase" else (what, {})
    _told(_call("POST", f"{PATH}/{kind}/{host}/orders/{order_id}/{command}", json=body), as_json=as_json)


@app.command()
def uninstall(host: Host, as_json: AsJson = False) -> None:
    """The merchant removes every app from a Shopify shop."""
    found = _call("POST", f"{PATH}/shopify/{host}/uninstall", json={})
    _note(found, f"removed: {', '.join(found['uninstalled'])}", as_json=as_json)


@app.command()
def fault(
    kind: Kind,
    host: Host,
    name: Annotated[str, typer.Argument(help="duplicate, reorder, delay, drop, forge or replay.")],
    *,
    topic: Annotated[str, typer.Option(help="Only of this topic.")] = "",
    count: Annotated[int, typer.Option(min=1, help="So many webhooks.")] = 1,
    delay_ms: Annotated[int, typer.Option(min=0, help="Of delay and replay.")] = 1_000,
    as_json: AsJson = False,
) -> None:
    """The shop's next webhooks go wrong."""
    body = {"kind": name, "topic": topic, "count": count, "delay_ms": delay_ms}
    made = _call("POST", f"{PATH}/{kind}/{host}/hook_faults", json=body)
    _note(made, f"{made['id']} waits for webhooks", as_json=as_json)


@app.command()
def hooks(kind: Kind, host: Host, as_json: AsJson = False) -> None:
    """The webhooks that were sent, newest last, with what became of each."""
    output = Output(as_json=as_json)
    found = _call("GET", f"{PATH}/{kind}/{host}/hooks")
    output.table(
        found["hooks"],
        columns={
            "created_at": "time",
            "topic": "topic",
            "state": "state",
            "attempts": "tries",
            "fault": "fault",
            "error": "error",
            "key": "key",
        },
    )
    if as_json:
        output.json(found)


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    output = Output(as_json=as_json)
    names = ("host", "base_url", "external_ids", "access_token", "app_id", "webhook_secret", "locations")
    output.table(
        [{"name": name, "value": found[name]} for name in names], columns={"name": "name", "value": "value"}
    )
    if as_json:
        output.json(found)


def _told(found: dict[str, Any], *, as_json: bool) -> None:
    text = f"{', '.join(found['happened'])}; {len(found['hooks'])} webhooks are on their way"
    _note(found, text if found["id"] is None else f"{found['id']}: {text}", as_json=as_json)


def _note(found: dict[str, Any], text: str, *, as_json: bool) -> None:
    output = Output(as_json=as_json)
    if as_json:
        output.json(found)
    else:
        output.note(text)


def _call(method: str, path: str, **request: Any) -> Any:
    from vitrin.cli.client import ServiceClient

    with ServiceClient("sandbox", token=None) as sandbox:
        return sandbox.call(method, path, **request)
