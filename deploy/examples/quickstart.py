"""One item from the shop to the channels, with the generated client: `VITRIN_API_KEY=... python quickstart.py`.

`make clients` generates it; `pip install build/clients/python` installs it.
"""

import os
import time
from typing import Any

from vitrin_client import ApiProblem, Vitrin, done
from vitrin_client.catalog.api.items import create_item, delete_item, get_item
from vitrin_client.catalog.api.offers import batch_offers
from vitrin_client.notify.api.webhooks import create_endpoint, delete_endpoint, send_test
from vitrin_client.shop_sync.api.channels import list_channels
from vitrin_client.shop_sync.api.items import item_timeline


def main() -> None:
    vitrin = Vitrin(os.environ["VITRIN_API_KEY"])
    item_id = "quickstart-python"

    print("== an item, created once: the same Idempotency-Key gives the same answer")
    item = body(
        create_item,
        id=item_id,
        title="Linen apron",
        description="Stonewashed linen.",
        brand="Holm",
        link="https://shop.example/apron",
        image_link="https://shop.example/apron.jpg",
        price="39.00 EUR",
        availability="in_stock",
        quantity=7,
    )
    for _ in range(2):
        done(
            create_item.sync_detailed(client=vitrin.catalog, body=item, idempotency_key="quickstart-python-1")
        )

    print("== its price and stock, on the fast lane")
    change = body(batch_offers, items=[{"id": item_id, "price": "35.00 EUR", "quantity": 3}])
    done(batch_offers.sync_detailed(client=vitrin.catalog, body=change))
    shown = done(get_item.sync_detailed(item_id, client=vitrin.catalog))
    print(shown.price, shown.quantity)

    print("== where it stands, and why")
    print([one.platform for one in done(list_channels.sync_detailed(client=vitrin.shop_sync)).data])
    print(len(heard(vitrin, item_id).data), "steps")

    print("== told by a webhook: an endpoint, and an event to try it with")
    url = os.environ.get("WEBHOOK_URL", "https://shop.example/hooks")
    wanted = body(create_endpoint, url=url, event_types=["item.rejected"])
    endpoint = done(create_endpoint.sync_detailed(client=vitrin.notify, body=wanted))
    trial = body(send_test, type="item.rejected", endpoint_id=str(endpoint.id))
    print(done(send_test.sync_detailed(client=vitrin.notify, body=trial)).id)
    done(delete_endpoint.sync_detailed(endpoint.id, client=vitrin.notify))

    print("== what is refused says what to do")
    try:
        bad = body(create_item, id="quickstart-bad", title="No price", price="cheap")
        done(create_item.sync_detailed(client=vitrin.catalog, body=bad))
    except ApiProblem as problem:
        print(problem.code, "-", problem.fix)

    done(delete_item.sync_detailed(item_id, client=vitrin.catalog))
    print("done")


def body(operation: Any, **fields: Any) -> Any:
    """The operation's own model of its body, from plain values."""
    model = operation.sync_detailed.__annotations__["body"]
    return model.from_dict(fields)


def heard(vitrin: Vitrin, item_id: str) -> Any:
    """shop_sync hears of an item within moments."""
    for _ in range(20):
        try:
            return done(item_timeline.sync_detailed(item_id, client=vitrin.shop_sync))
        except ApiProblem as problem:
            if problem.status != 404:
                raise
        time.sleep(0.5)
    raise TimeoutError(item_id)


if __name__ == "__main__":
    main()
