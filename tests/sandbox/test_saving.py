"""What the platforms hold is there again after a restart, to the millisecond."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from vitrin.sandbox.accounts import TokenState
from vitrin.sandbox.control import summarise
from vitrin.sandbox.saving import load, save
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.world import World, build_world

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def world() -> World:
    return build_world(SandboxSettings(), clock=lambda: NOW + timedelta(hours=1))


def test_items_accounts_and_their_times_come_back(tmp_path: Path) -> None:
    before = world()
    before.open_account("meta")
    second = before.open_account("pinterest", has_feed=True)
    second.token_state = TokenState.EXPIRED
    meta = before.platforms["meta"].catalogs[before.accounts.by_platform["meta"][0].catalog_ids[0]]
    meta.put("shirt", {"title": "Shirt", "price": "10.00 EUR"}, at_ms=1_000)
    meta.put("schön/1", {"title": "Schön"}, at_ms=2_000)
    meta.put("shirt", {"title": "Shirt", "price": "11.00 EUR"}, at_ms=3_000)
    save(before, tmp_path / "deep" / "state")

    after = world()
    assert load(after, tmp_path / "deep" / "state") == 2
    again = after.platforms["meta"].catalogs[after.accounts.by_platform["meta"][0].catalog_ids[0]]
    assert [(item.key, item.created_ms, item.updated_ms) for item in again.slice(offset=0, limit=9)] == [
        ("shirt", 1_000, 3_000),
        ("schön/1", 2_000, 2_000),
    ]
    shirt = again.get("shirt")
    assert shirt is not None
    assert shirt.fields() == {"title": "Shirt", "price": "11.00 EUR"}
    assert shirt.field_times_ms() == {"title": 1_000, "price": 3_000}
    assert again.counts == meta.counts
    assert after.accounts.by_platform["pinterest"][1] == second
    assert summarise(after)["platforms"][1] == summarise(before)["platforms"][1]


def test_no_file_is_an_empty_world(tmp_path: Path) -> None:
    fresh = world()
    assert load(fresh, tmp_path / "none") == 0
    assert [len(c) for p in fresh.platforms.values() for c in p.catalogs.values()] == [0, 0]
