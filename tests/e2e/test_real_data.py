"""A real shop's export through the command line, live on both platforms."""

from pathlib import Path

import pytest

from tests.e2e.system import PLATFORMS, System, equal, parsed, until

EXPORT = Path(__file__).parents[3] / "shared" / "data" / "catalogs" / "shopify" / "packt_products.csv"
ITEMS = 21


@pytest.mark.skipif(not EXPORT.is_file(), reason=f"NOT TESTED: no real export, there is no {EXPORT}")
def test_a_real_shopify_export_is_live_on_both_platforms(system: System) -> None:
    brand = system.new_brand(currency="USD", market="US")
    ran = system.vitrin("import", str(EXPORT), "--json", "--key", brand.key)
    assert ran.returncode == 0, ran.stderr
    report = parsed(ran)
    assert (report["state"], report["format"], report["refused"]) == ("done", "shopify", [])
    assert report["rows"]["created"] == ITEMS
    truth = brand.catalog()
    assert len(truth) == ITEMS
    assert {one["sku"] for one in truth.values()} == {None}
    until(brand.counts, equal({platform: {"live": ITEMS} for platform in PLATFORMS}))
    for platform in PLATFORMS:
        shown = {one["item_id"]: one["fields"] for one in brand.shown(platform)}
        assert {name: fields["price"] for name, fields in shown.items()} == {
            name: one["price"] for name, one in truth.items()
        }
        assert {name: fields["title"] for name, fields in shown.items()} == {
            name: one["title"] for name, one in truth.items()
        }
