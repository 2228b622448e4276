"""Id templates: what may be written, and what an item that lacks a value says."""

import pytest

from vitrin.platforms.id_templates import ID_TEMPLATE_CHARS_MAX, filled, template_problem


@pytest.mark.parametrize(
    "template",
    ["{id}", "{sku}", "shopify_{country}_{product}_{variant}", "{handle}-{sku}", "{language}.{id}"],
)
def test_templates_that_name_one_item(template: str) -> None:
    assert template_problem(template) is None


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("", "1 to"),
        ("{id}" + "x" * ID_TEMPLATE_CHARS_MAX, "1 to"),
        ("{title}", "no placeholder {title}"),
        ("{ID}", "no placeholder {ID}"),
        ("{}{id}", "no placeholder {}"),
        ("{id} x", "Between placeholders"),
        ("{id", "Between placeholders"),
        ("{{id}}", "Between placeholders"),
        ("{product}_{handle}", "one id"),
        ("all", "one id"),
    ],
)
def test_templates_that_do_not(template: str, says: str) -> None:
    problem = template_problem(template)
    assert problem is not None
    assert says in problem


def test_missing_values_are_named_once() -> None:
    assert filled("{product}_{variant}_{product}", {"variant": "4"})[1] == ("product",)
    assert filled("shopify_{country}_{product}", {"country": "US", "product": "1"}) == ("shopify_US_1", ())
