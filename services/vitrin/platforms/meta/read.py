"""Meta's products as its catalog shows them, compared with what was sent. Pure.

Reading has other names than writing (ProductItem of the SDK), and prices come formatted ("$12.34").
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vitrin.platforms.base import Difference, ListedItem, ListedPage, Problem, Seen
from vitrin.platforms.comparing import as_text, difference, same_price, same_text, same_window

READ_NAMES: Final = {
    "title": "name",
    "description": "description",
    "link": "url",
    "image_link": "image_url",
    "additional_image_link": "additional_image_urls",
    "availability": "availability",
    "condition": "condition",
    "price": "price",
    "sale_price": "sale_price",
    "brand": "brand",
    "gtin": "gtin",
    "mpn": "manufacturer_part_number",
    "item_group_id": "retailer_product_group_id",
    "color": "color",
    "size": "size",
    "gender": "gender",
    "age_group": "age_group",
    "material": "material",
    "pattern": "pattern",
    "product_type": "product_type",
    "quantity_to_sell_on_facebook": "quantity_to_sell_on_facebook",
    **{f"custom_label_{number}": f"custom_label_{number}" for number in range(5)},
}
"""Written name -> read name. What is not here cannot be read back under a name that we know."""
FIELDS: Final = ",".join(
    [
        "retailer_id",
        *READ_NAMES.values(),
        "currency",
        "sale_price_start_date",
        "sale_price_end_date",
        "review_status",
        "review_rejection_reasons",
    ]
)

LISTED_FIELDS: Final = "retailer_id,name,gtin,url"


def listed(answer: Mapping[str, Any]) -> ListedPage:
    """A page of the catalog's products edge. Products without a retailer id cannot be addressed and are left out."""
    data, paging = answer.get("data"), answer.get("paging")
    products = [one for one in data if isinstance(one, Mapping)] if isinstance(data, list) else []
    items = tuple(
        ListedItem(
            platform_item_id=as_text(one.get("retailer_id")),
            title=as_text(one.get("name")),
            gtin=as_text(one.get("gtin")),
            link=as_text(one.get("url")),
        )
        for one in products
        if one.get("retailer_id")
    )
    return ListedPage(items, _after(paging) if isinstance(paging, Mapping) else None)


def _after(paging: Mapping[str, Any]) -> str | None:
    """`next` says that there is more, and the cursor where to go on; a page with a cursor may be the last."""
    cursors = paging.get("cursors")
    after = as_text(cursors.get("after")) if isinstance(cursors, Mapping) else ""
    return after if after and paging.get("next") else None


def seen(platform_item_id: str, expected: Mapping[str, object], product: Mapping[str, Any] | None) -> Seen:
    if product is None:
        return Seen(platform_item_id, present=False)
    found = [_compared(name, value, product) for name, value in expected.items() if name in READ_NAMES]
    if "sale_price_effective_date" in expected:
        found.append(_window(as_text(expected["sale_price_effective_date"]), product))
    return Seen(
        platform_item_id,
        present=True,
        differences=tuple(part for part in found if part is not None),
        problems=_review(product),
    )


def _compared(name: str, sent: object, product: Mapping[str, Any]) -> Difference | None:
    shown = product.get(READ_NAMES[name])
    left, right = as_text(sent), as_text(shown)
    if name in {"price", "sale_price"} and left and right:
        same = same_price(left, right, seen_currency=as_text(product.get("currency")))
    elif name == "sale_price":
        same = not left and (not right or _is_zero(right))
    elif name == "gtin":
        same = left.lstrip("0") == right.lstrip("0")
    else:
        same = same_text(left, right)
    return None if same else difference(name, sent, shown)


def _is_zero(amount: str) -> bool:
    return not any(char in "123456789" for char in amount)


def _window(sent: str, product: Mapping[str, Any]) -> Difference | None:
    """Where no sale is on, dates that stay behind show nothing: only a window that was asked for is compared."""
    if not sent:
        return None
    start, end = as_text(product.get("sale_price_start_date")), as_text(product.get("sale_price_end_date"))
    window = f"{start}/{end}"
    return None if same_window(sent, window) else difference("sale_price_effective_date", sent, window)


def _review(product: Mapping[str, Any]) -> tuple[Problem, ...]:
    if product.get("review_status") != "rejected":
        return ()
    reasons = product.get("review_rejection_reasons")
    words = [as_text(reason) for reason in reasons] if isinstance(reasons, Sequence) else []
    return tuple(
        Problem(
            "review_rejected",
            "",
            f"Meta's review refused the item: {word}",
            "Correct the item, or ask for another review in Meta's Commerce Manager.",
        )
        for word in words or ["no reason given"]
    )
