"""Whatever a shop tells of its fields, what is left can be read."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vitrin.catalog.domain import apply_patch
from vitrin.catalog.domain.leaving_out import leave_out

TEXTS = st.one_of(st.none(), st.text(max_size=30), st.sampled_from(["https://a.example/x", "x" * 4_097]))
VALUES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("gtin", "link", "image_link", "brand", "sku", "color", "description_html"), TEXTS),
        "additional_image_link": st.lists(TEXTS.filter(lambda text: text is not None), max_size=4),
        "availability": st.sampled_from([None, "in_stock", "some day"]),
        "cost_of_goods_sold": st.sampled_from([None, "1.00 EUR", "much"]),
        "sale_price_effective_date": st.sampled_from(
            [
                None,
                {"start": "2020-01-02T00:00:00+00:00", "end": "2020-01-01T00:00:00+00:00"},
                {"start": None, "end": "never"},
                {"start": None, "end": "2020-01-01T00:00:00+00:00"},
            ]
        ),
    },
)
ATTRIBUTES = st.dictionaries(TEXTS.map(lambda text: text or ""), TEXTS, max_size=5)


@given(values=VALUES, attributes=ATTRIBUTES)
def test_what_is_left_makes_an_item(values: dict[str, Any], attributes: dict[str, str | None]) -> None:
    needed = {"id": "a", "title": "t" * 501, "price": "2.00 EUR", "sale_price": "1.00 EUR"}
    left = leave_out(needed | values, attributes)
    patch = {**left.values, "attributes": left.attributes}
    assert apply_patch(None, None, patch, market_currency="EUR").problems == ()
    assert "title" in {one.field for one in left.left_out}


def test_a_sale_whose_window_cannot_be_is_no_sale() -> None:
    window = {"start": "2020-01-02T00:00:00+00:00", "end": "2020-01-01T00:00:00+00:00"}
    left = leave_out({"sale_price": "1.00 EUR", "sale_price_effective_date": window}, {})
    assert left.values == {"sale_price": None, "sale_price_effective_date": None}
    assert [one.code for one in left.left_out] == ["sale_window_order"]


def test_only_so_many_attributes_and_pictures_are_kept() -> None:
    links = [f"https://x.example/{number}" for number in range(251)]
    left = leave_out({"additional_image_link": links}, {f"a{number}": "x" for number in range(101)})
    assert left.values == {"additional_image_link": links[:250]}
    assert list(left.attributes) == [f"a{number}" for number in range(100)]
    assert [one.code for one in left.left_out] == ["too_many_images", "too_many_attributes"]
