"""Order of an object's webhooks, endpoints that end, secrets that change, and claims of processes that are gone."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text
from standardwebhooks import WebhookVerificationError

from tests.notify.conftest import Shop, until
from tests.notify.receiver import Answer, Got, receiving
from vitrin.notify.domain.schedule import Schedule

ALTERNATING = ("live", "removed", "live", "held")


def story(shop: Shop, item: str) -> list[object]:
    return [shop.status(item, state) for state in ALTERNATING]


async def test_ordered_the_next_of_an_object_waits_and_others_do_not(shop: Shop) -> None:
    tried: dict[str, int] = {}

    def decide(got: Got) -> Answer:
        """Each webhook of mug-1 fails twice before it is taken."""
        tried[got.id] = tried.get(got.id, 0) + 1
        bad = got.payload["object"]["id"] == "mug-1" and tried[got.id] < 3
        return Answer(500 if bad else 200)

    async with receiving(decide) as receiver, shop.delivering():
        await shop.endpoint(receiver.url, ordered=True)
        await shop.hear(*story(shop, "mug-1"), *story(shop, "mug-2"))  # type: ignore[arg-type]
        await receiver.until(16)
        await until(shop.deliveries, [("delivered", 3)] * 4 + [("delivered", 1)] * 4)
    for item, times in (("mug-1", 3), ("mug-2", 1)):
        states = [got.payload["data"]["state"] for got in receiver.got if got.payload["object"]["id"] == item]
        assert states == [state for state in ALTERNATING for _ in range(times)]


async def test_ordered_what_is_given_up_lets_the_next_go(shop: Shop) -> None:
    shop.schedule = Schedule(pauses_s=(0.05,), rest_from=50)
    refused = {"live"}
    async with (
        receiving(lambda got: Answer(400 if got.payload["data"]["state"] in refused else 200)) as receiver,
        shop.delivering(),
    ):
        await shop.endpoint(receiver.url, ordered=True)
        await shop.hear(*story(shop, "mug-1"))  # type: ignore[arg-type]
        await until(shop.deliveries, [("failed", 2), ("delivered", 1), ("failed", 2), ("delivered", 1)])
    assert [got.payload["data"]["state"] for got in receiver.got] == [
        *("live", "live", "removed", "live", "live", "held")
    ]


async def test_a_dead_endpoint_is_disabled_the_others_are_told_and_nothing_goes_there(shop: Shop) -> None:
    shop.schedule = Schedule(pauses_s=(0.05,) * 50, try_for=timedelta(days=10), rest_from=100)
    async with receiving(lambda got: Answer(500)) as dead, receiving() as well, shop.delivering():
        endpoint = await shop.endpoint(dead.url)
        told = await shop.endpoint(well.url, event_types=["endpoint.disabled"])
        await shop.hear(shop.status("mug-1"))
        await dead.until(3)
        shop.clock.ahead = timedelta(days=5, minutes=1)
        await dead.until(len(dead.got) + 9)
        assert (await shop.ok("GET", f"/v1/webhook_endpoints/{endpoint['id']}"))["enabled"], (
            "two bad days only"
        )
        shop.clock.ahead = timedelta(days=6, minutes=1)
        (got,) = await well.until(1)
        shown = await shop.ok("GET", f"/v1/webhook_endpoints/{endpoint['id']}")
        calls = len(dead.got)
        await shop.hear(shop.status("mug-2"), shop.status("mug-1", "removed"))
        await until(shop.deliveries, [("dropped", calls), ("delivered", 1)])
        replay = await shop.call(
            "POST",
            f"/v1/webhook_events/{(await shop.events())[0]['id']}:replay",
            {"endpoint_id": endpoint["id"]},
        )
        assert (replay.status_code, replay.json()["code"]) == (409, "webhook_endpoint_disabled")
        again = await shop.ok("PATCH", f"/v1/webhook_endpoints/{endpoint['id']}", {"enabled": True})
        assert (again["failures"], again["disabled"], again["failing_since"]) == (0, None, None)
    assert len(dead.got) == calls >= 10
    assert (shown["enabled"], shown["disabled"]["code"]) == (False, "failing")
    assert "Nothing but failures since" in shown["disabled"]["reason"]
    assert "It answered 500" in shown["disabled"]["reason"]
    assert got.payload["data"]["endpoint_id"] == endpoint["id"]
    assert told["enabled"]


async def test_gone_disables_at_once(shop: Shop) -> None:
    async with receiving(lambda got: Answer(410)) as receiver, shop.delivering():
        endpoint = await shop.endpoint(receiver.url)
        await shop.hear(*[shop.status(f"mug-{number}") for number in range(3)])

        async def code() -> str:
            shown = await shop.ok("GET", f"/v1/webhook_endpoints/{endpoint['id']}")
            return str((shown["disabled"] or {}).get("code"))

        await until(code, "gone")
        assert {state for state, _ in (await shop.deliveries())[:3]} <= {"dropped", "failed"}


async def test_while_secrets_overlap_both_sign(shop: Shop) -> None:
    async with receiving() as receiver, shop.delivering():
        endpoint = await shop.endpoint(receiver.url)
        path = f"/v1/webhook_endpoints/{endpoint['id']}"
        rotated = await shop.ok("POST", f"{path}:rotate_secret", {"overlap_h": 1})
        assert rotated["secret"] != endpoint["secret"]
        assert [one["hint"] for one in rotated["secrets"]] == [
            one["secret"][-4:] for one in (rotated, endpoint)
        ]
        await shop.hear(shop.status("mug-1"))
        (both,) = await receiver.until(1)
        assert both.verified_by(endpoint["secret"]) == both.verified_by(rotated["secret"])
        assert len(both.headers["webhook-signature"].split(" ")) == 2
        ended = await shop.ok("POST", f"{path}:rotate_secret", {"overlap_h": 0})
        assert len(ended["secrets"]) == 1
        await shop.hear(shop.status("mug-2"))
        last = (await receiver.until(2))[1]
        last.verified_by(ended["secret"])
        with pytest.raises(WebhookVerificationError):
            last.verified_by(rotated["secret"])
    rows = await shop.rows("select ciphertext from webhook_secrets where brand_id = :brand")
    assert all(b"whsec" not in bytes(row.ciphertext) for row in rows)
    for _ in range(4):
        await shop.ok("POST", f"{path}:rotate_secret", {"overlap_h": 1})
    crowded = await shop.call("POST", f"{path}:rotate_secret", {"overlap_h": 1})
    assert (crowded.status_code, crowded.json()["code"]) == (409, "webhook_secrets_too_many")


async def test_what_a_gone_process_held_goes_when_its_claim_has_run_out(shop: Shop) -> None:
    """A process of another name never comes back: nobody lets go for it."""
    async with receiving() as receiver:
        await shop.endpoint(receiver.url)
        await shop.hear(shop.status("mug-1"))
        async with shop.database.write([shop.brand]) as tx:
            await tx.execute(
                text(
                    "update webhook_queues set claim_id = gen_random_uuid(), claimed_by = 'notify-9',"
                    " claimed_until = now() + interval '1 second' where brand_id = :brand"
                ),
                {"brand": shop.brand},
            )
        async with shop.delivering():
            await until(shop.deliveries, [("delivered", 1)])
    assert len(receiver.got) == 1


async def test_two_workers_share_the_work_and_double_nothing(shop: Shop, other: Shop) -> None:
    async with receiving() as receiver:
        await shop.endpoint(receiver.url, ordered=True)
        await other.endpoint(receiver.url)
        stop = asyncio.Event()
        workers = [shop.worker(f"notify-{number}").dispatcher for number in range(2)]
        tasks = [asyncio.create_task(worker.run(stop)) for worker in workers]
        for turn in range(3):
            await shop.hear(*[shop.status(f"mug-{turn}-{number}") for number in range(10)])
            await other.hear(*[other.status(f"mug-{turn}-{number}") for number in range(10)])
        await receiver.until(60)
        await until(shop.deliveries, [("delivered", 1)] * 30)
        await until(other.deliveries, [("delivered", 1)] * 30)
        stop.set()
        await asyncio.gather(*tasks)
    assert len({got.id for got in receiver.got}) == len(receiver.got) == 60
