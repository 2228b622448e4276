"""Channels: created, confirmed, tested, told once, held back, tried again, never lost."""

import asyncio
import re
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from tests.notify.conftest import Shop, until
from tests.notify.post_office import PostOffice, text_of
from tests.notify.receiver import Answer, Receiver, receiving
from tests.notify.test_inbox import RESOLVED, attention, inbox
from vitrin.kit.clock import system_clock
from vitrin.kit.embedded.ports import free_port
from vitrin.kit.ids import new_uuid
from vitrin.notify.domain.posting import CODE_TRIES_MAX
from vitrin.notify.settings import SmtpSettings
from vitrin.protos.kit.v1.attention_pb2 import AttentionSeverity

CRITICAL = AttentionSeverity.ATTENTION_SEVERITY_CRITICAL
PATH = "/v1/notification_channels"


async def slack(shop: Shop, receiver: Receiver, **fields: Any) -> dict[str, Any]:
    body = {"type": "slack", "slack_url": f"{receiver.url}/services/T0/B0/secret", "name": "ops", **fields}
    made: dict[str, Any] = await shop.ok("POST", PATH, body)
    return made


async def mailbox(shop: Shop, office: PostOffice, **fields: Any) -> tuple[dict[str, Any], str]:
    """A confirmed channel and its address."""
    address = f"{new_uuid().hex}@shop.example"
    made = await shop.ok("POST", PATH, {"type": "email", "email": address, **fields})
    assert made["confirmed"] is False
    async with shop.posting():
        code = await asyncio.to_thread(office.code_for, address)
    confirmed = await shop.ok("POST", f"{PATH}/{made['id']}:confirm", {"code": code})
    assert confirmed["confirmed"] is True
    office.for_(address)
    return confirmed, address


async def states(shop: Shop) -> list[tuple[str, str, str]]:
    """What was to be told, its state and its last outcome, of all notifications, the oldest first."""
    return [
        (one["what"], one["state"], one["outcome"])
        for notice in reversed(await inbox(shop))
        for one in notice["deliveries"]
    ]


async def log(shop: Shop, channel: dict[str, Any]) -> list[dict[str, Any]]:
    """The oldest first."""
    page = await shop.ok("GET", f"{PATH}/{channel['id']}/attempts")
    return list(reversed(page["data"]))


async def test_slack_is_told_when_it_opens_and_when_it_is_over(shop: Shop) -> None:
    async with receiving() as receiver, shop.posting():
        channel = await slack(shop, receiver)
        assert "secret" not in str(channel)
        await shop.heed(attention(shop, title="<!channel> & co"))
        (opened,) = await receiver.until(1)
        text = opened.payload["text"]
        assert text.startswith("*&lt;!channel&gt; &amp; co*\n")
        assert "What to do: Connect Meta again." in text
        assert "GET /v1/connections/co-1" in text
        await until(lambda: states(shop), [("opened", "sent", "sent")])
        await shop.heed(attention(shop))  # a repetition
        await shop.heed(attention(shop, state=RESOLVED))
        over = (await receiver.until(2))[1]
        assert over.payload["text"].startswith("*Over: ")
        await until(lambda: states(shop), [("opened", "sent", "sent"), ("resolved", "sent", "sent")])
    assert [(line["purpose"], line["outcome"], line["status"]) for line in await log(shop, channel)] == [
        ("notifications", "sent", 200)
    ] * 2
    kept = await shop.rows(
        "select ciphertext, target_hint from notification_channels where brand_id = :brand"
    )
    assert b"secret" not in bytes(kept[0].ciphertext)
    assert kept[0].target_hint == "a Slack incoming webhook"


async def test_an_address_is_confirmed_before_anything_else_is_sent_there(
    shop: Shop, post_office: PostOffice
) -> None:
    address = f"{new_uuid().hex}@shop.example"
    made = await shop.ok("POST", PATH, {"type": "email", "email": address})
    confirm = f"{PATH}/{made['id']}:confirm"
    await shop.heed(attention(shop))
    assert (await shop.call("POST", f"{PATH}/{made['id']}:test")).json()["code"] == (
        "notification_channel_not_confirmed"
    )
    too_soon = await shop.call("POST", f"{PATH}/{made['id']}:send_code")
    assert (too_soon.status_code, too_soon.json()["code"]) == (409, "confirmation_code_too_soon")
    async with shop.posting():
        code = await asyncio.to_thread(post_office.code_for, address)
        wrong = "0" * 8 if code != "0" * 8 else "1" * 8
        for left in reversed(range(CODE_TRIES_MAX)):
            refused = await shop.call("POST", confirm, {"code": wrong})
            assert (refused.status_code, refused.json()["code"]) == (400, "confirmation_code_wrong")
            assert f"{left} more" in refused.json()["detail"]
        expired = await shop.call("POST", confirm, {"code": code})
        assert (expired.status_code, expired.json()["code"]) == (409, "confirmation_code_expired")
        shop.clock.ahead = timedelta(minutes=2)
        await shop.ok("POST", f"{PATH}/{made['id']}:send_code")

        async def codes() -> int:
            return len(post_office.for_(address))

        await until(codes, 2)
        newer = post_office.code_for(address)
        assert (await shop.ok("POST", confirm, {"code": newer}))["confirmed"] is True
        again = await shop.call("POST", confirm, {"code": newer})
        assert again.json()["code"] == "notification_channel_confirmed"
        await shop.heed(attention(shop, "co-2"))
        await until(codes, 3)
    assert [line["purpose"] for line in await log(shop, made)] == ["code", "code", "notifications"]
    mail = post_office.for_(address)[2]
    assert mail["Subject"] == "The token of Meta ends soon"
    assert "Nobody renews it." in text_of(mail)
    assert mail["From"] == "Vitrin <vitrin@house.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    reader = await shop.new_key(scopes=("notifications:read",))
    shown = await shop.ok("GET", f"{PATH}/{made['id']}", key=reader)
    assert shown["target"] == f"{address[0]}***@shop.example"
    assert (await shop.ok("GET", f"{PATH}/{made['id']}"))["target"] == address


async def test_what_was_refused_is_tried_again_and_said_in_words(shop: Shop, post_office: PostOffice) -> None:
    channel, address = await mailbox(shop, post_office)
    post_office.refuses[address] = "451 4.3.2 System not accepting messages"
    async with shop.posting():
        await shop.heed(attention(shop))

        async def tries() -> bool:
            return len(await log(shop, channel)) >= 3

        await until(tries, True)
        del post_office.refuses[address]
        await until(lambda: states(shop), [("opened", "sent", "sent")])
    lines = [line for line in await log(shop, channel) if line["purpose"] == "notifications"]
    assert (lines[0]["outcome"], lines[0]["status"]) == ("refused", 451)
    assert "451" in lines[0]["detail"]
    assert lines[0]["fix"] == "Check the address, or remove the channel."
    assert lines[0]["next_try_at"]
    assert (lines[-1]["outcome"], lines[-1]["next_try_at"]) == ("sent", None)
    assert len(post_office.for_(address)) == 2


async def test_a_server_that_is_not_there_and_one_that_wants_tls(shop: Shop, post_office: PostOffice) -> None:
    channel, _ = await mailbox(shop, post_office)
    smtp = shop.settings.smtp
    for broken, outcome, words in (
        (smtp.model_copy(update={"port": free_port()}), "unreachable", "NOTIFY_SMTP_HOST"),
        (smtp.model_copy(update={"tls": "starttls"}), "tls_failed", "NOTIFY_SMTP_TLS"),
        (
            smtp.model_copy(update={"user": "u", "password": SecretStr("p")}),
            "tls_failed",
            "NOTIFY_SMTP_TLS",
        ),
        (SmtpSettings(host=""), "not_configured", "NOTIFY_SMTP_HOST"),
    ):
        poster = shop.with_settings(smtp=broken).worker().poster
        cause = str(new_uuid())
        await shop.heed(attention(shop, cause))
        stop = asyncio.Event()
        task = asyncio.create_task(poster.run(stop))

        async def seen(outcome: str = outcome, words: str = words) -> bool:
            return any(
                line["outcome"] == outcome and words in line["fix"] for line in await log(shop, channel)
            )

        await until(seen, True)
        stop.set()
        await task
        await shop.ok("PATCH", f"{PATH}/{channel['id']}", {"enabled": False})
        await shop.ok("PATCH", f"{PATH}/{channel['id']}", {"enabled": True})


async def test_a_slack_channel_that_is_gone_is_disabled_and_said(shop: Shop) -> None:
    async with receiving(lambda got: Answer(404, body=b"no_service")) as receiver, shop.posting():
        channel = await slack(shop, receiver)
        await shop.heed(attention(shop))

        async def open_kinds() -> list[str]:
            return sorted(one["kind"] for one in await inbox(shop, state="open"))

        await until(open_kinds, ["connection.token_ending", "notification_channel.disabled"])
        shown = await shop.ok("GET", f"{PATH}/{channel['id']}")
        assert (shown["enabled"], shown["disabled"]["code"]) == (False, "gone")
        assert "removed or switched off" in shown["disabled"]["reason"]
        await shop.ok("DELETE", f"{PATH}/{channel['id']}")
        assert await open_kinds() == ["connection.token_ending"]
        assert len(receiver.got) == 1


async def test_rules_digest_and_quiet_hours(shop: Shop) -> None:
    now = system_clock()
    quiet = {
        "quiet_from": f"{now - timedelta(hours=2):%H:%M}",
        "quiet_until": f"{now + timedelta(hours=2):%H:%M}",
    }
    async with receiving() as receiver, shop.posting():
        channel = await slack(shop, receiver, rules=[{"severity_min": "warning"}], **quiet)
        await shop.heed(
            *(attention(shop, f"co-{number}") for number in range(3)),
            attention(shop, "co-9", severity=AttentionSeverity.ATTENTION_SEVERITY_INFO),
            attention(shop, "urgent", severity=CRITICAL, title="Nothing reaches Meta"),
        )
        (urgent,) = await receiver.until(1)
        assert urgent.payload["text"].startswith("*[critical] Nothing reaches Meta*")
        await until(lambda: states(shop), [("opened", "pending", "")] * 3 + [("opened", "sent", "sent")])
        assert len(receiver.got) == 1
        await shop.heed(attention(shop, "co-0", state=RESOLVED))  # over before anybody was told
        shop.clock.ahead = timedelta(hours=3)
        digest = (await receiver.until(2))[1]
        assert digest.payload["text"].startswith("*2 notifications: 2 need you*")
        await until(
            lambda: states(shop),
            [("opened", "dropped", "over_before_sent")] + [("opened", "sent", "sent")] * 3,
        )
        await shop.ok(
            "PATCH", f"{PATH}/{channel['id']}", {"digest": "hourly", "quiet_from": "", "quiet_until": ""}
        )
        await shop.heed(attention(shop, "later"))
        assert (await states(shop))[-1] == ("opened", "pending", "")
        await shop.ok("PATCH", f"{PATH}/{channel['id']}", {"digest": "immediate"})
        assert len(await receiver.until(3)) == 3


async def test_a_process_that_is_cut_off_leaves_nothing_unsent(shop: Shop) -> None:
    """Its claim is let go by the next process of that name, and by any other once it has run out."""
    hold = asyncio.Event()
    async with receiving(lambda got: Answer(hold=hold)) as receiver:
        await slack(shop, receiver)
        await shop.heed(attention(shop))
        task = asyncio.create_task(shop.worker().poster.run(asyncio.Event()))
        await receiver.until(1)
        for one in asyncio.all_tasks():  # as kill -9: nothing is saved
            if one.get_name().startswith("channel-"):
                one.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await states(shop) == [("opened", "pending", "")]
        hold.set()
        async with shop.posting():
            await receiver.until(2)
            await until(lambda: states(shop), [("opened", "sent", "sent")])


async def test_a_brand_sends_so_many_messages_an_hour_and_loses_none(shop: Shop) -> None:
    async with receiving() as receiver:
        await slack(shop, receiver)
        async with shop.posting(messages_per_hour=2):
            for number in range(2):
                await shop.heed(attention(shop, f"co-{number}"))
                await receiver.until(number + 1)
            await shop.heed(*(attention(shop, f"late-{number}") for number in range(5)))
            await asyncio.sleep(0.3)
            assert len(receiver.got) == 2
            shop.clock.ahead = timedelta(hours=1, minutes=1)
            assert "*5 notifications" in (await receiver.until(3))[2].payload["text"]
            await until(lambda: states(shop), [("opened", "sent", "sent")] * 7)


async def test_a_test_message_answers_what_happened(shop: Shop, post_office: PostOffice) -> None:
    async with receiving() as receiver:
        channel = await slack(shop, receiver)
        result = await shop.ok("POST", f"{PATH}/{channel['id']}:test")
        assert (result["sent"], result["outcome"], result["status"]) == (True, "sent", 200)
        receiver.decide = lambda got: Answer(403, body=b"action_prohibited")
        result = await shop.ok("POST", f"{PATH}/{channel['id']}:test")
        assert (result["sent"], result["outcome"]) == (False, "refused")
        assert "administrator" in result["fix"]
    assert [line["purpose"] for line in await log(shop, channel)] == ["test", "test"]
    mail, address = await mailbox(shop, post_office)
    assert (await shop.ok("POST", f"{PATH}/{mail['id']}:test"))["sent"] is True
    assert re.match("This is a test", text_of(post_office.for_(address)[-1]))


async def test_what_a_channel_may_not_be(shop: Shop, other: Shop) -> None:
    url = "http://127.0.0.1:1/services/T0/B0/x"
    for body, status, code in (
        ({"type": "email", "email": "not an address"}, 400, "notification_channel_invalid"),
        ({"type": "email", "email": "a@shop.example\nBcc: b@c.de"}, 400, "notification_channel_invalid"),
        ({"type": "email", "slack_url": url}, 422, None),
        ({"type": "slack", "slack_url": "https://shop.example/hook"}, 400, "notification_channel_invalid"),
        ({"type": "slack", "slack_url": "ftp://127.0.0.1/x"}, 400, "notification_channel_invalid"),
        ({"type": "slack", "slack_url": url, "rules": [{"kinds": ["a.b"]}]}, 400, None),
        ({"type": "slack", "slack_url": url, "digest": "daily"}, 400, None),
        ({"type": "slack", "slack_url": url, "digest_at": "08:00"}, 400, None),
        ({"type": "slack", "slack_url": url, "quiet_from": "22:00"}, 400, None),
        ({"type": "slack", "slack_url": url, "quiet_from": "25:00", "quiet_until": "07:00"}, 422, None),
        ({"type": "slack", "slack_url": url, "time_zone": "Mars/Olympus"}, 400, None),
    ):
        answer = await shop.call("POST", PATH, body)
        assert answer.status_code == status, (body, answer.text)
        assert code in (None, answer.json()["code"])
    assert (await shop.ok("GET", PATH))["data"] == []
    made = await shop.ok("POST", PATH, {"type": "slack", "slack_url": url})
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("POST", ":test", None),
        ("POST", ":confirm", {"code": "1"}),
        ("POST", ":send_code", None),
        ("GET", "/attempts", None),
    ):
        answer = await other.call(method, f"{PATH}/{made['id']}{path}", body)
        assert (answer.status_code, answer.json()["code"]) == (404, "notification_channel_not_found")


async def test_a_limit_of_channels(shop: Shop) -> None:
    body = {"type": "slack", "slack_url": "http://127.0.0.1:1/services/T0/B0/x"}
    for _ in range(20):
        await shop.ok("POST", PATH, body)
    answer = await shop.call("POST", PATH, body)
    assert (answer.status_code, answer.json()["code"]) == (409, "notification_channels_too_many")


async def test_old_rows_go(shop: Shop) -> None:
    async with receiving() as receiver, shop.posting():
        await slack(shop, receiver)
        await shop.heed(attention(shop), attention(shop, "stays"))
        await receiver.until(1)
        await shop.heed(attention(shop, state=RESOLVED))

        async def done() -> list[tuple[str, str, str]]:
            return sorted(await states(shop))

        await until(done, [("opened", "sent", "sent")] * 2 + [("resolved", "sent", "sent")])
    statement = (
        "update notices set resolved_at = resolved_at - interval '91 days' where brand_id = :brand and resolved_at"
        " is not null"
    )
    await _change(shop, statement)
    await shop.worker().poster.tidy()
    assert [(one["cause"], len(one["deliveries"])) for one in await inbox(shop)] == [("stays", 1)]
    await _change(
        shop,
        "update notification_deliveries set finished_at = finished_at - interval '31 days' where brand_id = :brand",
    )
    await shop.worker().poster.tidy()
    assert [(one["cause"], len(one["deliveries"])) for one in await inbox(shop)] == [("stays", 0)]


async def _change(shop: Shop, statement: str) -> None:
    from sqlalchemy import text  # noqa: PLC0415

    async with shop.database.write([shop.brand]) as tx:
        await tx.execute(text(statement), {"brand": shop.brand})
