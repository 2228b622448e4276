"""The register of notifications and the code say the same: no kind without a line, no line without a publisher."""

import re
from pathlib import Path

from vitrin.accounts import attention as accounts
from vitrin.catalog import attention as catalog
from vitrin.catalog.orders import attention as orders
from vitrin.notify.domain import register
from vitrin.notify.domain.register import REGISTER
from vitrin.shop_sync.service import concerns

SERVICES = Path(__file__).resolve().parents[2] / "services" / "vitrin"
PUBLISHED = {
    accounts.TOKEN_ENDING: "accounts",
    catalog.IMPORT_FAILED: "catalog",
    orders.PRIVACY_ASKED: "catalog",
    concerns.CHANNEL_STUCK: "shop_sync",
    register.REMOVAL_HELD: "shop_sync",
    register.CONNECTION_FAILED: "accounts",
    register.ENDPOINT_DISABLED: "notify",
    register.CHANNEL_DISABLED: "notify",
}


def test_every_kind_has_a_publisher_and_a_line() -> None:
    assert {one.kind: one.publisher for one in REGISTER.values()} == PUBLISHED


def test_concerns_name_their_kind_by_a_constant() -> None:
    for folder in ("accounts", "catalog", "shop_sync", "notify"):
        for path in (SERVICES / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if "Concern(" in text and "class Concern" not in text:
                assert not re.search(r'Concern\(\s*kind="', text), path
