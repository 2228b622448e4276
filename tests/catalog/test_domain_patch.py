from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrin.catalog.domain import (
    AgeGroup,
    Availability,
    Condition,
    FieldProblem,
    InventoryPolicy,
    ItemContent,
    Offer,
    Patched,
    Status,
    apply_offer_patch,
    apply_patch,
    check_item_id,
    content_document,
    content_hash,
    effective_availability,
    offer_document,
    offer_hash,
)
from vitrin.kit.money import Money

MINIMUM: dict[str, object] = {"id": "mug-1", "title": "Mug", "price": "12.34 EUR"}


def create(**fields: object) -> Patched:
    return apply_patch(None, None, {**MINIMUM, **fields}, market_currency="EUR")


def codes(problems: tuple[FieldProblem, ...]) -> list[tuple[str, str]]:
    return [(problem.field, problem.code) for problem in problems]


def test_the_minimum_makes_an_item() -> None:
    assert create() == Patched(
        ItemContent(id="mug-1", title="Mug"), Offer(price=Money(1234, "EUR"), quantity=None), ()
    )


def test_every_field_is_read() -> None:
    made = create(
        item_group_id="mugs",
        description="Line 1 \r\nLine 2",
        link="https://shop.example/mug",
        image_link="https://cdn.example/1.jpg",
        additional_image_link=["https://cdn.example/2.jpg", "https://cdn.example/2.jpg"],
        gtin="4006381 333931",
        condition="New",
        age_group="all ages",
        status="draft",
        custom_label_4=" sale  now ",
        sku="M-1",
        attributes={"glaze": "matt", "empty": " "},
        sale_price={"amount": "10", "currency": "EUR"},
        sale_price_effective_date="2026-11-24T00:00-05:00/2026-11-30T23:59-0500",
        cost_of_goods_sold="4.00 EUR",
        availability="backorder",
        quantity="7",
        inventory_policy="continue",
    )
    assert made.problems == ()
    assert made.content == ItemContent(
        id="mug-1",
        title="Mug",
        item_group_id="mugs",
        description="Line 1\nLine 2",
        link="https://shop.example/mug",
        image_link="https://cdn.example/1.jpg",
        additional_image_links=("https://cdn.example/2.jpg",),
        gtin="4006381333931",
        condition=Condition.NEW,
        age_group=AgeGroup.ALL_AGES,
        status=Status.DRAFT,
        custom_label_4="sale now",
        sku="M-1",
        attributes={"glaze": "matt"},
    )
    assert made.offer == Offer(
        price=Money(1234, "EUR"),
        sale_price=Money(1000, "EUR"),
        sale_starts_at=datetime(2026, 11, 24, 5, 0, tzinfo=UTC),
        sale_ends_at=datetime(2026, 12, 1, 4, 59, tzinfo=UTC),
        cost_of_goods_sold=Money(400, "EUR"),
        availability=Availability.AVAILABLE_FOR_ORDER,
        quantity=7,
        inventory_policy=InventoryPolicy.CONTINUE,
    )


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("id", None, "id_missing"),
        ("id", "", "id_missing"),
        ("id", "x" * 101, "id_too_long"),
        ("id", " x", "id_blank_at_end"),
        ("id", "x\u00a0", "id_blank_at_end"),
        ("id", "a\tb", "id_control_character"),
        ("id", "a\x00b", "id_control_character"),
        ("id", "a\ud800b", "id_control_character"),
        ("id", 5, "not_text"),
        ("title", None, "title_missing"),
        ("title", " \n ", "title_missing"),
        ("title", "x" * 501, "title_too_long"),
        ("title", "x" * 10_000, "title_too_long"),
        ("title", "a\x00b", "control_character"),
        ("title", "a\udfffb", "not_unicode"),
        ("title", ["Mug"], "not_text"),
        ("description", "x" * 10_001, "description_too_long"),
        ("description_html", "<p>" + "x" * 10_001, "description_too_long"),
        ("link", "ftp://shop.example/", "url_scheme"),
        ("link", "/mug", "url_scheme"),
        ("link", "https://", "url_no_host"),
        ("link", "https://shop.example/a b", "url_invalid"),
        ("link", "https://[::1/", "url_invalid"),
        ("link", "https://shop.example:99999/", "url_invalid"),
        ("link", "https://shop.example/" + "x" * 4096, "url_too_long"),
        ("image_link", "javascript:alert(1)", "url_scheme"),
        ("additional_image_link", 5, "not_a_list"),
        ("additional_image_link", ["https://a.example/"] * 251, "too_many_images"),
        ("gtin", "4006381333932", "gtin_check_digit"),
        ("gtin", "400638133393", "gtin_check_digit"),
        ("gtin", "12345", "gtin_length"),
        ("gtin", "7.1E+11", "gtin_not_digits"),
        ("gtin", "４００６３８１３", "gtin_not_digits"),
        ("gtin", 4006381333931, "not_text"),
        ("condition", "broken", "value_not_allowed"),
        ("status", "hidden", "value_not_allowed"),
        ("availability", "maybe", "value_not_allowed"),
        ("inventory_policy", "sometimes", "value_not_allowed"),
        ("price", None, "price_missing"),
        ("price", "", "price_missing"),
        ("price", 12.34, "price_not_text"),
        ("price", {"amount": 12, "currency": "EUR"}, "price_not_text"),
        ("price", {"amount": "12"}, "price_shape"),
        ("price", {"amount": "12", "currency": "EUR", "tax": "1"}, "price_shape"),
        ("price", "12.34", "price_without_currency"),
        ("price", "12,34 EUR", "price_comma"),
        ("price", "-1 EUR", "price_negative"),
        ("price", "1.234 EUR", "price_too_many_decimals"),
        ("price", "12.34 USD", "currency_mismatch"),
        ("sale_price", "5 USD", "currency_mismatch"),
        ("sale_price", "12.34 EUR", "sale_price_not_below_price"),
        ("sale_price_effective_date", "2026-11-24", "sale_window_shape"),
        ("sale_price_effective_date", "2026-11-24T00:00/2026-11-25T00:00", "sale_window_without_zone"),
        ("sale_price_effective_date", "x/y", "sale_window_shape"),
        ("sale_price_effective_date", "2026-11-25T00:00Z/2026-11-24T00:00Z", "sale_window_order"),
        ("quantity", -1, "quantity_negative"),
        ("quantity", "-3", "quantity_negative"),
        ("quantity", 1.5, "quantity_not_integer"),
        ("quantity", True, "quantity_not_integer"),
        ("quantity", "many", "quantity_not_integer"),
        ("quantity", 2**31, "quantity_too_large"),
        ("priec", "1 EUR", "unknown_field"),
        ("attributes", ["a"], "not_an_object"),
        ("attributes", {f"a{n}": "x" for n in range(101)}, "too_many_attributes"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(field: str, value: object, code: str) -> None:
    made = create(**{field: value})
    assert codes(made.problems) == [(field, code)]
    assert all(problem.message and problem.fix for problem in made.problems)
    assert (made.content, made.offer) == (None, None)

    before = create()
    if field == "id":
        return
    changed = apply_patch(before.content, before.offer, {field: value}, market_currency="EUR")
    assert codes(changed.problems) == [(field, code)]
    assert (changed.content, changed.offer) == (before.content, before.offer)


def test_every_problem_is_reported_at_once() -> None:
    made = apply_patch(None, None, {"gtin": "1", "quantity": -1}, market_currency="EUR")
    assert codes(made.problems) == [
        ("id", "id_missing"),
        ("gtin", "gtin_length"),
        ("title", "title_missing"),
        ("quantity", "quantity_negative"),
        ("price", "price_missing"),
    ]


def test_messages_say_what_was_wrong_and_what_to_do() -> None:
    (gtin,) = create(gtin="4006381333932").problems
    assert gtin.message == "4006381333932 ends in 2, but its check digit is 1"
    (title,) = create(title="x" * 10_000).problems
    assert title.message == "title has 10000 characters; the limit is 500"
    (typo,) = create(priec="1").problems
    assert typo.fix == "Did you mean price?"
    (condition,) = create(condition="x" * 1000).problems
    assert condition.fix == "Use one of: new, refurbished, used."
    assert len(condition.message) < 200
    (image,) = create(additional_image_link=["https://a.example/1", "x"]).problems
    assert image.field == "additional_image_link[1]"


@pytest.mark.parametrize("item_id", ["a", "a/b", "Ünï ☕", "x" * 100, "手織り", "a,b;c"])
def test_ids_of_any_script_are_allowed(item_id: str) -> None:
    assert check_item_id(item_id) is None
    made = create(id=item_id)
    assert made.content is not None
    assert made.content.id == item_id


def test_absent_is_unchanged_and_null_is_cleared() -> None:
    before = create(
        brand="Lume", gtin="4006381333931", condition="used", status="draft", quantity=3,
        sale_price="5 EUR", sale_price_effective_date="2026-01-01T00:00Z/", attributes={"a": "1", "b": "2"},
    )  # fmt: skip
    after = apply_patch(
        before.content,
        before.offer,
        {
            "gtin": None,
            "condition": None,
            "status": None,
            "quantity": None,
            "sale_price": None,
            "attributes": {"a": None, "c": "3"},
        },
        market_currency="EUR",
    )
    assert after.problems == ()
    assert after.content == ItemContent(
        id="mug-1", title="Mug", brand="Lume", attributes={"b": "2", "c": "3"}
    )
    assert after.offer == Offer(price=Money(1234, "EUR"))
    cleared = apply_patch(after.content, after.offer, {"attributes": None}, market_currency="EUR")
    assert cleared.content == ItemContent(id="mug-1", title="Mug", brand="Lume")


def test_an_id_cannot_be_changed() -> None:
    before = create()
    same = apply_patch(before.content, before.offer, {"id": "mug-1"}, market_currency="EUR")
    assert same == before
    other = apply_patch(before.content, before.offer, {"id": "mug-2"}, market_currency="EUR")
    assert codes(other.problems) == [("id", "id_mismatch")]


def test_the_offer_lane_takes_offer_fields_only() -> None:
    offer = create(quantity=3).offer
    assert apply_offer_patch(offer, {"quantity": 0}, market_currency="EUR") == (
        Offer(price=Money(1234, "EUR"), quantity=0),
        (),
    )
    refused = apply_offer_patch(offer, {"title": "x"}, market_currency="EUR")
    assert (refused.offer, codes(refused.problems)) == (offer, [("title", "unknown_field")])
    new = apply_offer_patch(None, {"quantity": 1}, market_currency="EUR")
    assert (new.offer, codes(new.problems)) == (None, [("price", "price_missing")])


def test_a_price_below_the_stored_sale_price_is_refused() -> None:
    offer = create(sale_price="10 EUR").offer
    refused = apply_offer_patch(offer, {"price": "9 EUR"}, market_currency="EUR")
    assert codes(refused.problems) == [("sale_price", "sale_price_not_below_price")]
    assert refused.offer == offer


def test_content_of_an_item_without_an_offer_can_change() -> None:
    content = create().content
    changed = apply_patch(content, None, {"title": "Cup"}, market_currency="EUR")
    assert changed == (ItemContent(id="mug-1", title="Cup"), None, ())


def test_importers_may_leave_the_currency_out() -> None:
    made = apply_patch(
        None, None, {**MINIMUM, "price": "12.34"}, market_currency="EUR", default_currency="EUR"
    )
    assert made.offer == Offer(price=Money(1234, "EUR"))


@pytest.mark.parametrize(
    ("declared", "quantity", "policy", "effective"),
    [
        (None, None, "deny", "in_stock"),
        (None, 5, "deny", "in_stock"),
        (None, 0, "deny", "out_of_stock"),
        (None, 0, "continue", "in_stock"),
        ("in_stock", 0, "deny", "out_of_stock"),
        ("out_of_stock", None, "deny", "out_of_stock"),
        ("out_of_stock", 5, "deny", "out_of_stock"),
        ("preorder", 0, "deny", "preorder"),
        ("discontinued", 9, "continue", "discontinued"),
        ("available_for_order", 0, "continue", "available_for_order"),
        ("available_for_order", 0, "deny", "out_of_stock"),
    ],
)
def test_effective_availability(
    declared: str | None, quantity: int | None, policy: str, effective: str
) -> None:
    offer = Offer(
        price=Money(1, "EUR"),
        availability=None if declared is None else Availability(declared),
        quantity=quantity,
        inventory_policy=InventoryPolicy(policy),
    )
    assert effective_availability(offer) == effective
    assert effective_availability(offer).spec_text == effective.replace("_", " ")


def test_hashes_are_the_same_in_every_process_and_release() -> None:
    content, offer, _ = create(attributes={"b": "2", "a": "1"}, condition="new", quantity=0)
    assert content is not None
    assert offer is not None
    assert content_hash(content).hex() == CONTENT_HASH
    assert offer_hash(offer).hex() == OFFER_HASH


CONTENT_HASH = "31b827c2a818696043ccd6e1a88e9f5d"
OFFER_HASH = "a2de1b8e374b182a04dbc17a2a9613f1"

CHANGES: list[dict[str, Any]] = [
    {"title": "Cup"},
    {"brand": "Lume"},
    {"mpn": "Lume"},
    {"attributes": {"a": "1"}},
    {"attributes": {"a": "2"}},
    {"condition": "new"},
    {"status": "draft"},
    {"additional_image_link": ["https://a.example/1", "https://a.example/2"]},
    {"additional_image_link": ["https://a.example/2", "https://a.example/1"]},
]


def test_every_change_of_content_changes_its_hash_and_not_the_offers() -> None:
    made = [create(**change) for change in [{}, *CHANGES]]
    assert len({content_hash(one.content) for one in made if one.content}) == len(CHANGES) + 1
    assert len({offer_hash(one.offer) for one in made if one.offer}) == 1


def test_every_change_of_an_offer_changes_its_hash() -> None:
    changes: list[dict[str, Any]] = [
        {}, {"quantity": 0}, {"quantity": 1}, {"price": "1 EUR"}, {"sale_price": "1 EUR"},
        {"cost_of_goods_sold": "1 EUR"}, {"availability": "preorder"}, {"inventory_policy": "continue"},
        {"sale_price_effective_date": "2026-01-01T00:00Z/"}, {"sale_price_effective_date": "/2026-01-01T00:00Z"},
    ]  # fmt: skip
    offers = [create(**change).offer for change in changes]
    assert len({offer_hash(offer) for offer in offers if offer}) == len(changes)


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@given(
    title=TEXT.filter(lambda text: bool(text.strip())),
    description=TEXT,
    brand=TEXT,
    attributes=st.dictionaries(TEXT.filter(lambda text: bool(text.strip())), TEXT, max_size=3),
    condition=st.sampled_from([None, *Condition]),
    status=st.sampled_from([*Status]),
    price=st.integers(1, 10**9),
    quantity=st.none() | st.integers(0, 10**6),
    window=st.none() | st.datetimes(timezones=st.just(UTC)),
)
def test_a_document_is_read_back_to_the_same_item(**fields: Any) -> None:
    minor, window = fields.pop("price"), fields.pop("window")
    patch = {
        **fields,
        "id": "x",
        "price": str(Money(minor, "EUR")),
        "sale_price": str(Money(minor - 1, "EUR")),
        "sale_price_effective_date": None if window is None else {"start": window.isoformat()},
    }
    made = apply_patch(None, None, patch, market_currency="EUR")
    assert made.problems == ()
    assert made.content is not None
    assert made.offer is not None
    document = {**content_document(made.content), **offer_document(made.offer)}
    assert apply_patch(None, None, document, market_currency="EUR") == made
    assert apply_patch(made.content, made.offer, document, market_currency="EUR") == made


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELD_NAMES = [
    *content_document(ItemContent(id="x", title="x")),
    *offer_document(Offer(price=Money(1, "EUR"))),
]


@given(st.dictionaries(st.sampled_from(FIELD_NAMES) | st.text(max_size=8), JSON, max_size=6))
def test_no_json_whatsoever_crashes(patch: dict[str, object]) -> None:
    made = apply_patch(None, None, patch, market_currency="EUR")
    assert (made.content is None) == bool(made.problems)
    if made.content is not None:
        str(made.content).encode()
