"""Which pixel the pages of a storefront load, and the command that says so. In memory only: a restart forgets it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from vitrin.sandbox.commands import answer, read_body
from vitrin.sandbox.control_shops import shop_of
from vitrin.sandbox.shops.book import ShopBook
from vitrin.sandbox.storefront.html import PixelTag

RECEIPTS_MAX = 10_000
CODE_BYTES_MAX = 100_000


class NewPixel(BaseModel):
    """Body of ``PUT /_sandbox/shops/{kind}/{host}/storefront``. `custom_pixel`: code for Shopify's frame; empty: none.
    `endpoint` empty: no pixel on the pages themselves."""

    model_config = ConfigDict(extra="forbid")

    endpoint: str = Field(default="", max_length=500, pattern=r"^(https?://[^\s\"'<>]+)?$")
    key: str = Field(default="", max_length=200, pattern=r"^[\w-]*$")
    consent: str = Field(default="ask", pattern=r"^(ask|granted)$")
    custom_pixel: str = Field(default="", max_length=CODE_BYTES_MAX)


@dataclass(slots=True)
class StorefrontBook:
    """Pixels by shop, and what the pages of finished orders show."""

    pixels: dict[tuple[str, str], PixelTag] = field(default_factory=dict)
    custom: dict[tuple[str, str], str] = field(default_factory=dict)
    receipts: dict[str, int] = field(default_factory=dict)

    def keep_receipt(self, token: str, order_id: int) -> None:
        """The newest RECEIPTS_MAX."""
        while len(self.receipts) >= RECEIPTS_MAX:
            del self.receipts[next(iter(self.receipts))]
        self.receipts[token] = order_id


class StorefrontControl:
    """The command."""

    def __init__(self, shops: ShopBook, book: StorefrontBook) -> None:
        self._shops = shops
        self._book = book

    async def put(self, request: Request) -> Response:
        """The pages load this pixel from now on; an empty body takes it away."""
        shop = shop_of(self._shops, request)
        new, key = await read_body(request, NewPixel), (shop.kind, shop.host)
        self._book.pixels.pop(key, None)
        self._book.custom.pop(key, None)
        if new.endpoint:
            endpoint = new.endpoint.rstrip("/")
            self._book.pixels[key] = PixelTag(f"{endpoint}/pixel.js", endpoint, new.key, new.consent)
        if new.custom_pixel:
            self._book.custom[key] = new.custom_pixel
        base = f"{request.url.scheme}://{request.url.netloc}"
        return answer({"url": f"{base}/storefront/{shop.kind}/{shop.host}/", "pixel": bool(new.endpoint)})
