"""`vitrin checkout`: where a channel's carts go on, and what became of those that came."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

app = typer.Typer(
    help="Carts that a platform hands over: to the shop's own cart, with a reason for what cannot be honoured.",
    no_args_is_help=True,
)
ChannelId = Annotated[str, typer.Argument(help="Id of the channel, as in `vitrin channels`.")]
CART_COLUMNS = {"at": "at", "outcome": "outcome", "lines": "lines", "why": "what could not be honoured"}


@app.command()
def show(channel_id: ChannelId, key: Key = None, as_json: AsJson = False) -> None:
    """The address to register with the platform, and where carts go on."""
    _told("get", channel_id, None, key=key, as_json=as_json)


@app.command("set")
def set_(  # noqa: PLR0917 options, not positions
    channel_id: ChannelId,
    shop: Annotated[
        str | None, typer.Option(help="The shop's connection; needed where there are several.")
    ] = None,
    storefront: Annotated[str | None, typer.Option(help="The shop's address for shoppers.")] = None,
    coupon: Annotated[
        list[str] | None,
        typer.Option(help="A code that the shop takes; may be repeated. None: all are passed on."),
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Take carts of the channel."""
    given = {
        "shop": shop,
        "storefront_url": storefront,
        "coupons": [{"code": one} for one in coupon or []] or None,
    }
    body = {name: value for name, value in given.items() if value is not None}
    _told("put", channel_id, body, key=key, as_json=as_json)


@app.command()
def carts(
    channel_id: ChannelId,
    outcome: Annotated[str | None, typer.Option(help="whole, partial or nothing.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Carts that came, the newest first, with what could not be honoured."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    query = {"limit": limit} | ({"outcome": outcome} if outcome else {})
    with with_key("shop_sync", key) as shop_sync:
        found = shop_sync.get(f"/v1/channels/{quote(channel_id, safe='')}/carts", query)
    if as_json:
        output.json(found)
        return
    rows = [{**one, "why": " ".join(each["message"] for each in one["troubles"])} for one in found["data"]]
    output.table(rows, columns=CART_COLUMNS)


@app.command()
def stop(channel_id: ChannelId, key: Key = None, as_json: AsJson = False) -> None:
    """Take no carts any more: the address is gone for good, and the platform must be told another."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("shop_sync", key) as shop_sync:
        shop_sync.call("DELETE", f"/v1/channels/{quote(channel_id, safe='')}/checkout")
    if as_json:
        output.json({"channel_id": channel_id, "deleted": True})
    else:
        output.note(f"channel {channel_id} takes no carts any more")


def _told(verb: str, channel_id: str, body: Any, *, key: str | None, as_json: bool) -> None:
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    path = f"/v1/channels/{quote(channel_id, safe='')}/checkout"
    with with_key("shop_sync", key) as shop_sync:
        found = shop_sync.get(path) if verb == "get" else shop_sync.put(path, body)
    if as_json:
        output.json(found)
    else:
        output.record(found)
