"""Answers and requests of the checkout's door."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from vitrin.shop_sync.domain.checkout import COUPON_CHARS_MAX, COUPONS_MAX

Outcome = Literal["whole", "partial", "nothing"]


def _code(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("a code is one line of printable characters")
    return text.strip()


class Coupon(BaseModel):
    model_config = ConfigDict(extra="forbid")
    code: Annotated[str, Field(min_length=1, max_length=COUPON_CHARS_MAX), AfterValidator(_code)]
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = Field(None, description="From this moment on it is not valid.")


class CheckoutPut(BaseModel):
    """Where the channel's carts go on."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"coupons": [{"code": "SUMMER", "ends_at": "2027-09-01T00:00:00Z"}]}]
        },
    )
    shop: UUID | None = Field(
        None,
        description="The shop's connection, live or sandbox as the channel is; may be left out where there is one.",
    )
    storefront_url: str | None = Field(
        None, max_length=500, description="The shop's address for shoppers; else that of its connection."
    )
    coupons: Annotated[list[Coupon], Field(max_length=COUPONS_MAX)] | None = Field(
        None, description="Codes that the shop takes; null: every code is passed on, and the shop judges."
    )


class Checkout(BaseModel):
    channel_id: UUID
    checkout_url: str = Field(description="What the platform is told: at Meta, the checkout URL of the shop.")
    shop: UUID
    storefront_url: str
    coupons: list[Coupon] | None
    changed_at: datetime
    changed_by: str


class CartTrouble(BaseModel):
    """Why a line or a coupon does not go on as it was asked for."""

    code: str = Field(
        description="item_unknown, item_gone, item_not_in_shop, sold_out, only_some_left, quantity_limited, not_a_line,"
        " too_many_lines, coupon_unknown, coupon_not_yet, coupon_ended, coupon_malformed"
    )
    subject: str = Field(description="The item, as the catalog or else the platform calls it; or the coupon.")
    title: str
    left: int | None = Field(description="Of only_some_left and quantity_limited: how many go on.")
    message: str = Field(description="What the shopper reads.")


class CartLine(BaseModel):
    product_id: str
    variant_id: str
    quantity: int


class Cart(BaseModel):
    """For programs that ask for JSON; a browser is sent on, or sees a page."""

    outcome: Outcome
    cart_url: str = Field(description="The shop's cart with what goes on; its storefront where nothing does.")
    lines: list[CartLine]
    coupons: list[str]
    troubles: list[CartTrouble]


class Handoff(BaseModel):
    id: UUID
    at: datetime
    outcome: Outcome
    lines: int
    troubles: list[CartTrouble]


class HandoffPage(BaseModel):
    data: list[Handoff]
    next_cursor: str | None
