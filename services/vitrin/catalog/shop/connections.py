"""Following accounts: a shop's connection becomes, changes and closes its row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from vitrin.catalog.shop import repository_deliveries, repository_queues, repository_shops
from vitrin.catalog.shop.repository_shops import NEEDS_ATTENTION, ShopRow
from vitrin.catalog.shop.sources import UNINSTALLED
from vitrin.events.envelope import InvalidMessage, Message, TryLater
from vitrin.kit.clock import Clock
from vitrin.kit.consumer.handling import Handler
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId, ConnectionId
from vitrin.platforms.registry import PLATFORMS
from vitrin.platforms.shop import ShopSpec
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged, ConnectionMode

ACTIVE: Final = "active"


@dataclass(frozen=True, slots=True)
class ShopNews:
    brand: BrandId
    connection: ConnectionId
    message: ConnectionChanged


def connection_handler(
    specs: Mapping[str, ShopSpec], *, clock: Clock, changed: Callable[[ConnectionId], None]
) -> Handler:
    """Topic accounts.connection.v1. What is no shop is another's; what this release knows neither as a platform nor as
    a shop waits for one that does. `changed` is called after the commit."""

    async def handle(tx: WriteSession, messages: Sequence[Message]) -> None:
        news = [_news(message) for message in messages]
        waiting = [
            message
            for message, one in zip(messages, news, strict=True)
            if one.message.platform not in specs and one.message.platform not in PLATFORMS
        ]
        if waiting:
            raise TryLater("this release does not know the platform", waiting)
        for one in news:
            if one.message.platform in specs:
                await _follow(tx, one, clock=clock, changed=changed)

    return handle


async def _follow(
    tx: WriteSession, one: ShopNews, *, clock: Clock, changed: Callable[[ConnectionId], None]
) -> None:
    message, key, now = one.message, (one.brand, one.connection), clock()
    deleted = message.deleted or message.state == "deleted"
    held = await repository_shops.get(tx, key)
    state, problem = _state(message, held, deleted=deleted)
    newer = await repository_shops.save(
        tx,
        key,
        version=message.version,
        platform=message.platform,
        mode="live" if message.mode == ConnectionMode.CONNECTION_MODE_LIVE else "sandbox",
        base_url=message.base_url,
        external_ids=dict(message.external_ids),
        market=message.market,
        connection_state=message.state,
        deleted=deleted,
        state=state,
        problem=problem,
        now=now,
    )
    if newer:
        if state == "new" and held is not None and held.loaded_at is not None and held.state != "ready":
            await repository_shops.change(tx, key, full_at=now)  # what it said meanwhile was not heard
        if state == "new" and await repository_deliveries.hurry(tx, key, now=now):
            await repository_queues.wake(tx, [key], work="deliveries", due_at=now)
        await repository_queues.wake(tx, [key], work="tending", due_at=now)
        tx.after_commit(lambda: changed(one.connection))


def _state(
    message: ConnectionChanged, held: ShopRow | None, *, deleted: bool
) -> tuple[str, Mapping[str, str] | None]:
    if deleted:
        return "closed", None
    if message.state == ACTIVE:
        return "new", None
    if message.state == UNINSTALLED or (held is not None and held.state == UNINSTALLED):
        words = "The app was removed at the shop, or its key deleted."
        return UNINSTALLED, {
            "code": UNINSTALLED,
            "message": words,
            "fix": "Connect the shop again. Its items stay as they are until then.",
        }
    said = message.last_error or f"The connection is {message.state}."
    return NEEDS_ATTENTION, {
        "code": message.state,
        "message": said,
        "fix": "Connect the shop again, or renew its token.",
    }


def _news(message: Message) -> ShopNews:
    decoded = message.decode()
    if not isinstance(decoded, ConnectionChanged):
        raise InvalidMessage(f"{decoded.DESCRIPTOR.name} is no connection")
    try:
        connection = ConnectionId(UUID(decoded.connection_id))
    except ValueError:
        raise InvalidMessage("connection_id is no UUID") from None
    return ShopNews(BrandId(message.brand_id), connection, decoded)
