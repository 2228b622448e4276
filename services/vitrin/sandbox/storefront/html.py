"""The pages of a storefront. Rendered here, everything escaped; the only scripts are the pixel and the calls of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import Any

import orjson

from vitrin.sandbox.shops.model import Order, Product, Shop, Variant
from vitrin.sandbox.storefront.shopify_frame import frame

Call = Sequence[Any]
"""A command of the pixel with what it is given."""
Told = tuple[str, dict[str, Any]]
"""The name of an event of Shopify's, and its data."""

STYLE = """
body{margin:0 auto;max-width:60rem;padding:1rem 1.2rem 5rem;font:15px/1.5 system-ui,sans-serif;color:#1d1d1b}
a{color:inherit}nav{display:flex;gap:1rem;align-items:center;border-bottom:1px solid #ddd;padding-bottom:.6rem}
nav b{flex:1}
ul.goods{list-style:none;padding:0;display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr))}
ul.goods li{border:1px solid #ddd;border-radius:8px;padding:.8rem}.soft{color:#666}
button{font:inherit;padding:.4rem .9rem;border-radius:6px;border:1px solid #1d1d1b;background:#1d1d1b;color:#fff}
button.quiet{background:#fff;color:#1d1d1b}label{display:block;margin:.5rem 0}input{font:inherit;padding:.3rem}
#consent{position:fixed;inset:auto 0 0 0;background:#f5f5f2;border-top:1px solid #bbb;padding:.8rem 1.2rem}
#consent[hidden]{display:none}
"""
QUEUE = "window.vitrin=window.vitrin||function(){(window.vitrin.q=window.vitrin.q||[]).push(arguments)};"
BANNER = """
<div id="consent" hidden><p>May we measure your visit, and show you our goods elsewhere?</p>
<button id="allow">Allow</button> <button id="measure" class="quiet">Measure only</button>
<button id="refuse" class="quiet">Refuse</button></div>
<script>(function(){var box=document.getElementById("consent");
if(!localStorage.getItem("_vt_choice")&&!localStorage.getItem("_refused"))box.hidden=false;
function told(purposes){vitrin("consent",purposes);box.hidden=true;
if(!purposes.analytics&&!purposes.ads)localStorage.setItem("_refused","1");}
document.getElementById("allow").onclick=function(){told({analytics:true,ads:true})};
document.getElementById("measure").onclick=function(){told({analytics:true,ads:false})};
document.getElementById("refuse").onclick=function(){told({analytics:false,ads:false})};})()</script>
"""


@dataclass(frozen=True, slots=True)
class PixelTag:
    """How a page loads the pixel. `src` and `endpoint` as absolute addresses; `consent` as the pixel's own word."""

    src: str
    endpoint: str
    key: str
    consent: str = "ask"


@dataclass(frozen=True, slots=True)
class CustomPixel:
    """A script that Shopify runs in a frame of its own; `choice` is what the shop's banner was told, if it was."""

    code: str
    choice: dict[str, bool] | None


@dataclass(frozen=True, slots=True)
class CartLine:
    """What a shopper has chosen."""

    product: Product
    variant: Variant
    quantity: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What all pages of one storefront share. `root` is the path of its first page."""

    shop: Shop
    root: str
    pixel: PixelTag | None
    custom: CustomPixel | None = None

    def page(self, title: str, body: str, *, calls: Iterable[Call] = (), told: Iterable[Told] = ()) -> str:
        """One page. `calls` are made before the pixel has loaded, as a shop's theme makes them; `told` is what
        Shopify tells a custom pixel, which lives in a frame of its own."""
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
            '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
            f'<style>{STYLE}</style>{self._pixel(calls)}</head><body><nav><b><a href="{self.root}/">'
            f"{escape(self.shop.name or self.shop.host)}</a></b>"
            f'<form action="{self.root}/search"><input name="q" placeholder="Search" aria-label="Search"></form>'
            f'<a href="{self.root}/cart">Cart</a></nav><h1>{escape(title)}</h1>{body}'
            f"{BANNER if self.pixel and self.pixel.consent == 'ask' else ''}"
            f"{'' if self.custom is None else frame(self.custom, told)}</body></html>"
        )

    def _pixel(self, calls: Iterable[Call]) -> str:
        if self.pixel is None:
            return ""
        made = "".join(f"vitrin.apply(null,{script_json(call)});" for call in calls)
        return (
            f"<script>{QUEUE}{made}</script>"
            f'<script async src="{escape(self.pixel.src)}" data-key="{escape(self.pixel.key)}" '
            f'data-endpoint="{escape(self.pixel.endpoint)}" data-consent="{escape(self.pixel.consent)}"></script>'
        )


def script_json(value: object) -> str:
    """JSON that cannot end the script it stands in."""
    return orjson.dumps(value).decode().replace("<", "\\u003c").replace("\u2028", "\\u2028")


def track(name: str, **fields: Any) -> Call:
    """A call of the pixel's `track`."""
    return ["track", name, fields]


def line_json(variant: Variant, quantity: int = 1) -> dict[str, Any]:
    """How an event names goods: by the shop's own variant, which Vitrin maps to the item."""
    return {"item_id": f"variant:{variant.id}", "quantity": quantity, "price": float(variant.price)}


def goods(root: str, products: Sequence[Product], currency: str) -> str:
    """A list of products."""
    if not products:
        return '<p class="soft">Nothing here.</p>'
    return (
        '<ul class="goods">'
        + "".join(
            f'<li><a href="{root}/products/{escape(one.handle)}">{escape(one.title)}</a><br>'
            f'<span class="soft">{escape(one.variants[0].price)} {escape(currency)}</span></li>'
            for one in products
        )
        + "</ul>"
    )


def product(frame: Frame, one: Product, variant: Variant) -> str:
    """One product with its variants."""
    options = "".join(
        f'<option value="{each.id}"{" selected" if each.id == variant.id else ""}>'
        f"{escape(each.title)} ({max(each.quantity, 0)} left)</option>"
        for each in one.variants
    )
    call = script_json(
        track(
            "add_to_cart",
            items=[line_json(variant)],
            value=float(variant.price),
            currency=frame.shop.currency,
        )
    )
    told = "" if frame.pixel is None else f'onclick="vitrin.apply(null,{escape(call)})" '
    return (
        f"<p>{escape(variant.price)} {escape(frame.shop.currency)}</p>"
        f'<form method="post" action="{frame.root}/cart/add"><select name="variant" aria-label="Variant">{options}'
        f'</select> <button {told}id="add">Add to cart</button></form>'
    )


def cart(frame: Frame, lines: Sequence[CartLine]) -> str:
    """What is in the cart."""
    if not lines:
        return '<p class="soft">Your cart is empty.</p>'
    rows = "".join(
        f"<tr><td>{escape(one.product.title)} {escape(one.variant.title)}</td><td>{one.quantity}</td>"
        f'<td>{escape(one.variant.price)}</td><td><form method="post" action="{frame.root}/cart/remove">'
        f'<input type="hidden" name="variant" value="{one.variant.id}"><button class="quiet">Remove</button>'
        "</form></td></tr>"
        for one in lines
    )
    return (
        f"<table>{rows}</table><p>{total(lines)} {escape(frame.shop.currency)}</p>"
        f'<p><a id="checkout" href="{frame.root}/checkout">To checkout</a></p>'
    )


def checkout(frame: Frame) -> str:
    """Who buys."""
    fields = (
        ("email", "E-mail", "email"),
        ("first_name", "First name", "text"),
        ("last_name", "Last name", "text"),
    )
    inputs = "".join(
        f'<label>{label} <input name="{name}" type="{kind}" required maxlength="100"></label>'
        for name, label, kind in fields
    )
    return f'<form method="post" action="{frame.root}/checkout">{inputs}<button id="buy">Pay</button></form>'


def thanks(order: Order) -> str:
    """The order is placed."""
    return f"<p>Order {order.number} is placed: {order.total} in all.</p>"


def total(lines: Sequence[CartLine]) -> Decimal:
    """In the shop's currency."""
    return sum((Decimal(one.variant.price) * one.quantity for one in lines), Decimal(0))
