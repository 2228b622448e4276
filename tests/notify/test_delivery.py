"""Over real sockets: signed, once each while all is well, tried again, and failures that say what they are."""

import asyncio
from datetime import timedelta

import pytest
from standardwebhooks import WebhookVerificationError

from tests.notify.conftest import Shop, until
from tests.notify.receiver import Answer, Got, receiving
from vitrin.kit.embedded.ports import free_port


async def test_what_happened_arrives_signed_and_is_logged(shop: Shop) -> None:
    async with receiving() as receiver, shop.delivering():
        endpoint = await shop.endpoint(receiver.url)
        await shop.hear(
            shop.status("mug-1"),
            shop.status("mug-2", "rejected", code="title_too_long"),
            shop.status("mug-3", "pending"),
            shop.held(),
            shop.connection("token_expired", version=2, error="It has expired."),
        )
        await receiver.until(4)
        await until(shop.deliveries, [("delivered", 1)] * 4)
    by_type = {one.payload["type"]: one for one in receiver.got}
    assert sorted(by_type) == ["connection.failed", "item.live", "item.rejected", "removal.held"]
    stored = {event["id"]: event for event in await shop.events()}
    for one in receiver.got:
        assert one.verified_by(endpoint["secret"]) == one.payload
        assert one.id == one.payload["id"]
        assert stored[one.id]["body"].encode() == one.body
        assert one.headers["content-type"] == "application/json"
    rejected = by_type["item.rejected"].payload
    assert rejected["object"] == {"type": "item", "id": "mug-2"}
    assert (rejected["version"], rejected["test"], rejected["brand_id"]) == (1, False, str(shop.brand))
    assert rejected["data"]["reasons"][0]["fix"] == "Shorten it."
    attempts = await shop.attempts(endpoint)
    assert {(one["outcome"], one["status"], one["excerpt"], one["number"]) for one in attempts} == {
        ("delivered", 200, "thank you", 1)
    }
    with pytest.raises(WebhookVerificationError):
        receiver.got[0].verified_by("whsec_" + "A" * 44)


async def test_the_same_news_is_told_once(shop: Shop) -> None:
    await shop.endpoint("https://shop.example/hooks")
    held, first = shop.held(), shop.status("mug-1")
    await shop.hear(first, held, held)
    await shop.hear(held, first)
    await shop.hear(shop.status("mug-1", "pending"), shop.status("mug-1"), shop.status("mug-1", version=1))
    assert [one["type"] for one in await shop.events()] == ["item.live", "removal.held"]
    shop.versions["mug-1"] = 3
    await shop.hear(shop.status("mug-1", "rejected", code="a"), shop.status("mug-1", "rejected", code="b"))
    await shop.hear(shop.status("mug-1", "removed"), shop.held())
    assert [one["type"] for one in await shop.events()][2:] == [
        "item.rejected",
        "item.rejected",
        "item.removed",
        "removal.held",
    ]


async def test_a_failure_is_tried_again_with_the_same_id_and_body(shop: Shop) -> None:
    answers = iter(
        [Answer(500, body=b"no \x00 disk"), Answer(429, {"retry-after": "0"}), Answer(204, body=b"")]
    )
    async with receiving(lambda got: next(answers)) as receiver, shop.delivering():
        endpoint = await shop.endpoint(receiver.url)
        await shop.hear(shop.status("mug-1"))
        got = await receiver.until(3)
        await until(shop.deliveries, [("delivered", 3)])
    assert len({(one.id, one.body) for one in got}) == 1
    for one in got:
        one.verified_by(endpoint["secret"])
    attempts = await shop.attempts(endpoint)
    assert [(one["number"], one["outcome"], one["status"]) for one in attempts] == [
        (1, "refused", 500),
        (2, "refused", 429),
        (3, "delivered", 204),
    ]
    assert attempts[0]["excerpt"] == "no \ufffd disk"
    assert attempts[0]["next_try_at"] > attempts[0]["at"]
    shown = await shop.ok("GET", f"/v1/webhook_endpoints/{endpoint['id']}")
    assert (shown["failures"], shown["failing_since"]) == (0, None)


async def test_it_is_given_up_after_the_last_try_and_can_be_replayed(shop: Shop) -> None:
    status = 503
    async with receiving(lambda got: Answer(status)) as receiver, shop.delivering():
        endpoint = await shop.endpoint(receiver.url)
        await shop.hear(shop.status("mug-1"))
        await until(shop.deliveries, [("failed", 5)])
        (event,) = await shop.events()
        status = 200
        replayed = await shop.ok("POST", f"/v1/webhook_events/{event['id']}:replay", {})
        assert [one["state"] for one in replayed["deliveries"]] == ["failed", "pending"]
        await until(shop.deliveries, [("failed", 5), ("delivered", 1)])
    assert {one.id for one in receiver.got} == {event["id"]}
    assert len(receiver.got) == 6
    assert len(await shop.attempts(endpoint)) == 6


async def test_what_answers_too_late_redirects_or_is_not_there_has_failed(shop: Shop) -> None:
    never, private = asyncio.Event(), {"location": "http://10.0.0.1/latest/meta-data?token=x"}

    def decide(got: Got) -> Answer:
        return Answer(200, hold=never) if got.path == "/late" else Answer(302, private)

    shop.schedule = type(shop.schedule)(pauses_s=())
    async with receiving(decide) as receiver, shop.delivering(timeout_s=0.3):
        base = f"http://127.0.0.1:{receiver.port}"
        late = await shop.endpoint(f"{base}/late")
        turned = await shop.endpoint(f"{base}/turned")
        down = await shop.endpoint(f"http://127.0.0.1:{free_port()}/")
        await shop.hear(shop.status("mug-1"))
        await until(shop.deliveries, [("failed", 1)] * 3)
        never.set()
    found = {one["url"]: (await shop.attempts(one))[0] for one in (late, turned, down)}
    assert found[late["url"]]["outcome"] == "timed_out"
    assert "within 0.3 s, so it counts as failed, whatever is answered later" in found[late["url"]]["detail"]
    assert found[late["url"]]["latency_ms"] >= 300
    assert (found[turned["url"]]["outcome"], found[turned["url"]]["status"]) == ("redirected", 302)
    assert "Redirects are not followed" in found[turned["url"]]["detail"]
    assert found[down["url"]]["outcome"] == "unreachable"
    assert sorted(one.path for one in receiver.got) == ["/late", "/turned"]


async def test_a_name_that_leads_inside_is_refused_when_it_is_called(shop: Shop) -> None:
    """What was public when it was saved may lead elsewhere today: the guard looks at every call."""
    shop.schedule = type(shop.schedule)(pauses_s=())
    async with receiving() as receiver, shop.delivering():
        endpoint = await shop.endpoint("https://shop.example/hooks")
        await shop.move_to(endpoint, f"http://localhost:{receiver.port}/hooks")
        await shop.hear(shop.status("mug-1"))
        await until(shop.deliveries, [("failed", 1)])
    assert [one["outcome"] for one in await shop.attempts(endpoint)] == ["address_refused"]
    assert receiver.got == []


async def test_a_sick_endpoint_slows_no_other(shop: Shop, other: Shop) -> None:
    """With one place for slow ones taken by one that hangs, the others' webhooks arrive while it still hangs."""
    never = asyncio.Event()
    async with (
        receiving(lambda got: Answer(hold=never)) as sick,
        receiving() as well,
        shop.delivering(endpoints_at_once=2, timeout_s=60),
    ):
        await shop.endpoint(sick.url)
        await shop.hear(*[shop.status(f"mug-{number}") for number in range(20)])
        await sick.until(4)
        await other.endpoint(well.url)
        await other.hear(*[other.status(f"mug-{number}") for number in range(50)])
        await well.until(50)
        assert len(sick.got) == 4
        await until(other.deliveries, [("delivered", 1)] * 50)
        assert {state for state, _ in await shop.deliveries()} == {"pending"}
        never.set()
    assert sick.open_max == 4
    assert len({one.id for one in well.got}) == 50


async def test_an_endpoint_that_fails_rests_and_keeps_its_backlog(shop: Shop) -> None:
    shop.schedule = type(shop.schedule)(
        rest_from=2, rest_first=timedelta(hours=1), rest_max=timedelta(hours=1)
    )
    async with receiving(lambda got: Answer(500)) as receiver, shop.delivering():
        endpoint = await shop.endpoint(receiver.url)
        await shop.hear(*[shop.status(f"mug-{number}") for number in range(30)])

        async def queue() -> list[tuple[int, bool]]:
            rows = await shop.rows(
                "select failures, claim_id is null and due_at > now() + interval '30 minutes' as rests"
                " from webhook_queues where brand_id = :brand"
            )
            return [(min(row.failures, 2), row.rests) for row in rows]

        await until(queue, [(2, True)])
        await shop.hear(shop.status("mug-new"))
        assert await queue() == [(2, True)], "a new event does not wake it"
    assert 2 <= len(receiver.got) <= 6
    pending = [tries for state, tries in await shop.deliveries() if state == "pending"]
    assert len(pending) == 31
    assert pending.count(0) >= 24
    assert endpoint["enabled"]


async def test_one_that_comes_back_from_its_rest_gets_everything(shop: Shop) -> None:
    shop.schedule = type(shop.schedule)(
        pauses_s=(0.05,) * 20, rest_from=2, rest_first=timedelta(seconds=0.3), rest_max=timedelta(seconds=0.3)
    )
    answers = iter([Answer(500)] * 4)
    async with receiving(lambda got: next(answers, Answer())) as receiver, shop.delivering():
        await shop.endpoint(receiver.url)
        await shop.hear(*[shop.status(f"mug-{number}") for number in range(10)])

        async def states() -> set[str]:
            return {state for state, _ in await shop.deliveries()}

        await until(states, {"delivered"})
    assert len(receiver.got) == 14
    (queue,) = await shop.rows("select failures, slow, due_at from webhook_queues where brand_id = :brand")
    assert tuple(queue) == (0, False, None)
