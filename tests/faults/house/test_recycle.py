"""The embedded broker never deletes: above its memory size it is recycled, under load, and nothing is lost."""

import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.e2e.system import PLATFORMS, Brand, System, equal, item, until

pytestmark = pytest.mark.embedded_only(reason="the broker is the house's own")

MIB = 1024 * 1024
LIMIT_BYTES = 24 * MIB
"""It has 16 MiB when it is empty, and one more for each that is written."""
ITEMS = 100
RECYCLED_TIMES = 2
WRITE_S_MAX = 200.0
"""The supervisor looks every 10 s, and a recycling drains first."""
PAUSE_S = 0.2


@pytest.fixture(scope="module")
def house() -> Iterator[System]:
    directory = Path(tempfile.mkdtemp(prefix="vitrin-recycle-"))
    running = System(directory, more={"VITRIN_BROKER_MEMORY_BYTES_MAX": str(LIMIT_BYTES)})
    running.start()
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(directory, ignore_errors=True)


def shown(brand: Brand, platform: str) -> dict[str, str]:
    return {one["item_id"]: one["fields"]["price"] for one in brand.shown(platform)}


@pytest.mark.timeout(400)
def test_a_fat_broker_is_recycled_under_load_and_no_change_is_lost(house: System) -> None:
    brand = house.new_brand()
    before = {name: answer["drained_at"] for name, answer in house.spine().items()}
    names = [f"mug-{number}" for number in range(ITEMS)]
    price, end = "", monotonic() + WRITE_S_MAX
    for round_ in count():
        price = f"{round_ + 10}.50 EUR"
        text = f"Round {round_}. " + "A mug of stoneware. " * 450
        items = [item(name, price=price, description=text[:9_000]) for name in names]
        brand.ok("catalog", "POST", "/v1/items:batch", json={"items": items})
        if house.part("broker")["restarts"] >= RECYCLED_TIMES or monotonic() > end:
            break
        sleep(PAUSE_S)
    assert house.part("broker")["restarts"] >= RECYCLED_TIMES
    assert house.log().count("broker uses more than 24 MiB: recycled") >= RECYCLED_TIMES
    for platform in PLATFORMS:
        until(
            lambda platform=platform: shown(brand, platform),  # type: ignore[misc]
            equal(dict.fromkeys(names, price)),
            within_s=120.0,
            every_s=0.25,
        )
    until(brand.counts, equal({platform: {"live": ITEMS} for platform in PLATFORMS}), within_s=120.0)
    after = {name: answer["drained_at"] for name, answer in house.spine().items()}
    assert after["catalog"] > before["catalog"], house.log()
