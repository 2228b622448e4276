"""The inbox: one notice per cause, from each source, read marks, other brands, other keys."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.notify.conftest import Shop, until
from tests.notify.receiver import Answer, receiving
from vitrin.events import topics
from vitrin.events.envelope import InvalidMessage, Message
from vitrin.kit.ids import new_uuid
from vitrin.notify.consumers_attention import said_by
from vitrin.protos.kit.v1.attention_pb2 import Attention, AttentionSeverity, AttentionState
from vitrin.protos.shop_sync.v1.events_pb2 import RemovalDecided

OPEN, RESOLVED = AttentionState.ATTENTION_STATE_OPEN, AttentionState.ATTENTION_STATE_RESOLVED
ENDING = "connection.token_ending"


def attention(
    shop: Shop,
    cause: str = "co-1",
    *,
    state: AttentionState.ValueType = OPEN,
    severity: AttentionSeverity.ValueType = AttentionSeverity.ATTENTION_SEVERITY_WARNING,
    kind: str = ENDING,
    title: str = "The token of Meta ends soon",
) -> Message:
    payload = Attention(
        kind=kind,
        cause=cause,
        state=state,
        severity=severity,
        title=title,
        detail="Nobody renews it.",
        fix="Connect Meta again.",
        subject=f"connection:{cause}",
        look_at=f"/v1/connections/{cause}",
    )
    key = f"{shop.brand}/{kind}/{cause}"
    return shop.message(topics.ACCOUNTS_ATTENTION, key, payload, type_="accounts.attention_changed")


async def inbox(shop: Shop, **params: Any) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = (await shop.ok("GET", "/v1/notifications", params=params))["data"]
    return data


async def test_one_open_notification_per_cause(shop: Shop) -> None:
    first, again = attention(shop), attention(shop, title="The token of Meta ends tomorrow")
    await shop.heed(first, attention(shop, "co-2"))
    await shop.heed(first)  # the same message once more
    await shop.heed(again)
    newest, other = sorted(await inbox(shop), key=lambda one: -one["occurrences"])
    assert (newest["title"], newest["occurrences"], newest["state"]) == (
        "The token of Meta ends tomorrow",
        2,
        "open",
    )
    assert (other["cause"], other["occurrences"]) == ("co-2", 1)
    assert newest["seen_at"] > newest["opened_at"]
    assert newest["look_at"] == "/v1/connections/co-1"
    assert newest["deliveries"] == []
    told = [(event["type"], event["payload"]["data"]["cause"]) for event in await shop.events()]
    assert told == [("notification.opened", "co-1"), ("notification.opened", "co-2")]
    await shop.heed(attention(shop, state=RESOLVED), attention(shop, state=RESOLVED))
    assert [one["cause"] for one in await inbox(shop, state="open")] == ["co-2"]
    over = (await inbox(shop, state="resolved"))[0]
    assert over["id"] == newest["id"]
    assert over["resolved_at"]
    await shop.heed(attention(shop))
    reopened = (await inbox(shop, state="open", subject="connection:co-1"))[0]
    assert (reopened["occurrences"], reopened["id"] != newest["id"]) == (1, True)
    assert [event["type"] for event in await shop.events()][2:] == [
        "notification.resolved",
        "notification.opened",
    ]


async def test_held_removals_and_connections(shop: Shop) -> None:
    await shop.heed(shop.held(), shop.connection("token_expired", version=3, error="190: expired."))
    await shop.heed(shop.held())  # a reminder
    await shop.heed(shop.connection("active", version=2))  # late
    failed, held = sorted(await inbox(shop, state="open"), key=lambda one: str(one["kind"]))
    assert (failed["kind"], failed["severity"]) == ("connection.failed", "critical")
    assert failed["title"] == "Nothing reaches Meta: the token of the connection has expired"
    assert "190: expired." in failed["detail"]
    assert "vitrin connect meta --connection co-1" in failed["fix"]
    assert (held["kind"], held["cause"], held["occurrences"]) == ("removal.held", "r-1", 2)
    assert held["title"] == "50 items wait."
    decided = RemovalDecided(request_id="r-1", channel_id="ch-1", platform="meta", decision="approved")
    await shop.heed(shop.message(topics.ALERT, f"{shop.brand}/ch-1", decided))
    await shop.heed(shop.connection("active", version=4))
    assert await inbox(shop, state="open") == []
    await shop.heed(shop.connection("refused", version=5), shop.connection("x", version=6, deleted=True))
    assert [one["state"] for one in await inbox(shop, kind="connection.failed")] == ["resolved", "resolved"]


async def test_a_shop_whose_app_or_key_is_gone(shop: Shop) -> None:
    """Told to people and to the brand's own webhooks; a new consent ends it."""
    gone = shop.connection("uninstalled", version=2, platform="shopify", shop="holm.myshopify.com")
    await shop.heed(gone)
    await shop.hear(gone)
    (told,) = await inbox(shop, state="open")
    assert told["title"] == (
        "Nothing is read from Shopify: the app was removed at the shop, or its key deleted"
    )
    assert told["fix"] == "Connect again: vitrin connect shopify --shop holm.myshopify.com --connection co-1"
    assert "connection.failed" in [event["type"] for event in await shop.events()]
    await shop.heed(shop.connection("active", version=3, platform="shopify"))
    assert await inbox(shop, state="open") == []
    await shop.heed(shop.connection("refused", version=4, platform="woocommerce"))
    (told,) = await inbox(shop, state="open")
    assert told["fix"] == "Connect again: vitrin connection renew co-1, with a new key"


async def test_an_endpoint_that_was_disabled_and_is_enabled_again(shop: Shop) -> None:
    async with receiving(lambda got: Answer(status=410)) as receiver:
        endpoint = await shop.endpoint(receiver.url)
        await shop.hear(shop.status("mug"))

        async def open_now() -> list[tuple[str, str]]:
            return [(one["kind"], one["cause"]) for one in await inbox(shop, state="open")]

        async with shop.delivering():
            await until(open_now, [("webhook_endpoint.disabled", endpoint["id"])])
    await shop.ok("PATCH", f"/v1/webhook_endpoints/{endpoint['id']}", {"enabled": True})
    assert await open_now() == []


async def test_read_marks_are_the_brands(shop: Shop, other: Shop) -> None:
    await shop.heed(*(attention(shop, f"co-{number}") for number in range(3)))
    newest = (await inbox(shop))[0]
    assert newest["read_at"] is None
    path = f"/v1/notifications/{newest['id']}"
    marked = await shop.ok("POST", f"{path}:read")
    assert marked["read_by"].startswith("key:")
    second = await shop.new_key()
    again = await shop.ok("POST", f"{path}:read", key=second)
    assert (again["read_at"], again["read_by"]) == (marked["read_at"], marked["read_by"])
    assert len(await inbox(shop, unread="true")) == 2
    assert [one["id"] for one in await inbox(shop, unread="false")] == [newest["id"]]
    assert (await shop.ok("POST", f"{path}:unread"))["read_at"] is None
    assert await shop.ok("POST", "/v1/notifications:read_all", {"kind": "import.failed"}) == {"marked": 0}
    oldest = (await inbox(shop))[-1]
    until_oldest = {"until": oldest["opened_at"]}
    assert (await shop.ok("POST", "/v1/notifications:read_all", until_oldest))["marked"] >= 1
    await shop.ok("POST", "/v1/notifications:read_all")
    assert await inbox(shop, unread="true") == []
    for verb in ("", ":read", ":unread"):
        answer = await other.call("POST" if verb else "GET", path + verb)
        assert (answer.status_code, answer.json()["code"]) == (404, "notification_not_found")
    assert await inbox(other) == []


async def test_pages_filters_and_keys(shop: Shop) -> None:
    await shop.heed(*(attention(shop, f"co-{number}") for number in range(5)))
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = await shop.ok("GET", "/v1/notifications", params=params)
        seen += [one["cause"] for one in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == [f"co-{number}" for number in range(5)]
    assert (await shop.call("GET", "/v1/notifications", params={"state": "gone"})).status_code == 422
    reader = await shop.new_key(scopes=("notifications:read",))
    first = (await inbox(shop))[0]
    refused = await shop.call("POST", f"/v1/notifications/{first['id']}:read", key=reader)
    assert refused.status_code == 403
    assert (await shop.call("GET", "/v1/notifications", key=reader)).status_code == 200
    none = await shop.new_key(scopes=("webhooks:read",))
    assert (await shop.call("GET", "/v1/notifications", key=none)).status_code == 403
    test_key = await shop.new_key(mode="test", live=True)
    assert (await shop.call("GET", "/v1/notifications", key=test_key)).status_code == 403
    kinds = (await shop.ok("GET", "/v1/notification_kinds"))["data"]
    assert {"kind", "severity", "publisher", "says"} == set(kinds[0])


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "Not A Kind"},
        {"cause": ""},
        {"title": ""},
        {"severity": AttentionSeverity.ATTENTION_SEVERITY_UNSPECIFIED},
        {"state": AttentionState.ATTENTION_STATE_UNSPECIFIED},
    ],
)
async def test_what_says_nothing_is_a_dead_letter(
    make_shop: Callable[[], Awaitable[Shop]], fields: dict[str, Any]
) -> None:
    message = attention(await make_shop(), **fields)
    with pytest.raises(InvalidMessage):
        said_by(message)


async def test_a_kind_of_a_later_release_is_taken(shop: Shop) -> None:
    await shop.heed(attention(shop, str(new_uuid()), kind="budget.stopped"))
    assert [one["kind"] for one in await inbox(shop)] == ["budget.stopped"]
