"""What a restart of the sandbox does not forget of its shops."""

from pathlib import Path

import httpx

from tests.sandbox.shop_support import new_shop, receiving, until
from tests.support.sandbox import running_sandbox


def test_shops_goods_orders_tokens_and_waiting_webhooks_stay(tmp_path: Path) -> None:
    file = tmp_path / "state.jsonl"
    with receiving() as receiver:
        receiver.always = 500
        with running_sandbox(state_file=file) as url, httpx.Client(base_url=url, timeout=20) as root:
            shop = new_shop(root, seed={"products": 3, "variants_each": 2})
            shop.subscribe("ORDERS_CREATE", receiver.url)
            variant = shop.see("products")["items"][0]["variants"][0]
            shop.do("orders", lines=[{"variant_id": variant["id"]}])
            until(lambda: receiver.caught, what="the first try")
            before = (shop.see("products"), shop.see("orders"), shop.see()["subscriptions"])
        receiver.always = 200
        with (
            running_sandbox(state_file=file, hook_time_scale=0.000001) as url,
            httpx.Client(base_url=url, timeout=20) as root,
        ):
            shop.root = root
            assert (shop.see("products"), shop.see("orders"), shop.see()["subscriptions"]) == before
            assert [one["topic"] for one in shop.see("hooks")["hooks"]] == ["orders/create"]
            shop.made["base_url"] = f"{url}/shopify/{shop.made['host']}"
            assert shop.graphql("{ shop { name } }")["data"]["shop"]["name"] == shop.made["name"]
