"""Following accounts: a connection opens, changes, pauses and closes its channel."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId, ChannelId, ConnectionId, new_uuid
from vitrin.platforms.base import ChannelMisconfigured
from vitrin.platforms.id_templates import template_problem
from vitrin.platforms.registry import SHOPS
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged, ConnectionMode
from vitrin.shop_sync.domain import sync
from vitrin.shop_sync.domain.sync import Reason, State
from vitrin.shop_sync.domain.values import Channel, ChannelState
from vitrin.shop_sync.repository import channels, hunts, items, removals, replica, shelf, stocks, work
from vitrin.shop_sync.service.catalogs import Catalogs
from vitrin.shop_sync.service.recording import Recorder
from vitrin.shop_sync.service.waking import Waker

CLOSE_ITEMS_PER_STEP: Final = 1000
UNSETTLED: Final = (State.PENDING, State.SENT, State.UNKNOWN)
DISCONNECTED: Final = Reason(
    "connection_deleted",
    "",
    "The connection was deleted before this was sent: nothing is sent any more.",
    "Connect the platform again.",
)


@dataclass(frozen=True, slots=True)
class ConnectionNews:
    """A connection message with the times of its change."""

    brand_id: BrandId
    connection_id: ConnectionId
    message: ConnectionChanged
    payload: bytes
    occurred_at: datetime
    received_at: datetime


class Connections:
    def __init__(self, *, catalogs: Catalogs, waker: Waker, clock: Clock) -> None:
        self._catalogs = catalogs
        self._waker = waker
        self._clock = clock

    async def apply(self, tx: WriteSession, news: Sequence[ConnectionNews]) -> None:
        """The newest version wins. No channel opens while items of its brand are being changed."""
        await replica.hold_brands(tx, sorted({one.brand_id for one in news}))
        for one in news:
            message = one.message
            deleted = message.deleted or message.state == "deleted"
            newer = await replica.save_connection(
                tx,
                one.brand_id,
                one.connection_id,
                version=message.version,
                deleted=deleted,
                payload=one.payload,
            )
            if newer and message.platform not in SHOPS:  # products come from a shop, none are shown there
                await self._follow(tx, one, deleted=deleted)

    async def _follow(self, tx: WriteSession, news: ConnectionNews, *, deleted: bool) -> None:
        connection = news.connection_id
        tx.after_commit(lambda: self._catalogs.forget(connection))
        held = await channels.of_connection(tx, news.brand_id, connection)
        now = self._clock()
        if deleted:
            if held is not None and held.state != "closed":
                await self._close(tx, held, now)
            return
        if held is not None and held.state == "closed":
            return
        wanted = self._configured(news, held, now)
        if held is None:
            await channels.create(tx, wanted)
            await work.ensure(tx, wanted.brand_id, wanted.channel_id, platform=wanted.platform)
        else:
            await channels.update(tx, wanted)
        if wanted.stock == "taking" and (held is None or held.stock != "taking" or _elsewhere(held, wanted)):
            await shelf.forget(tx, wanted)
            await stocks.begin(tx, wanted, now)
        if wanted.state == "active":
            await work.make_due(tx, [wanted.channel_id], now)
            self._waker.after(tx, [wanted.channel_id])
        else:
            await work.stop(tx, wanted.channel_id)

    def _configured(self, news: ConnectionNews, held: Channel | None, now: datetime) -> Channel:
        """The channel as the connection wants it. Other settings than before start the first sync again."""
        message = news.message
        template = "{id}" if template_problem(message.id_template) else message.id_template
        fresh = Channel(
            brand_id=news.brand_id,
            channel_id=held.channel_id if held else ChannelId(new_uuid()),
            connection_id=news.connection_id,
            platform=message.platform,
            mode="live" if message.mode == ConnectionMode.CONNECTION_MODE_LIVE else "sandbox",
            base_url=message.base_url,
            external_ids=dict(message.external_ids),
            market=message.market,
            language=message.language,
            currency=message.currency,
            id_template=held.id_template if held else template,
            state="active",
            state_reason="",
            created_at=held.created_at if held else now,
            opened_occurred_at=news.occurred_at,
            sync_cursor=None,
            sync_started_at=None,
            sync_total=0,
            sync_done=0,
            sync_finished_at=None,
        )
        if held is not None and _settings(held) == _settings(fresh):
            fresh = replace(held, state="active", state_reason="")
        elif held is not None and not _elsewhere(held, fresh):
            fresh = replace(fresh, stock=held.stock)
        elif self._catalogs.lists_items(fresh.platform):
            fresh = replace(fresh, stock="taking")
        state, reason = self._state(message, fresh)
        return replace(fresh, state=state, state_reason=reason)

    def _state(self, message: ConnectionChanged, channel: Channel) -> tuple[ChannelState, str]:
        if message.state != "active":
            return "needs_attention", message.last_error or message.state
        try:
            self._catalogs.renderer(channel)
        except ChannelMisconfigured as error:
            return "needs_attention", f"{error.code}: {error.message} {error.fix}"
        return "active", ""

    async def _close(self, tx: WriteSession, channel: Channel, now: datetime) -> None:
        """Stop the work: what was not settled is said to be disconnected, the rest keeps its last known state."""
        after = ""
        while rows := await items.lock_states(
            tx, channel, states=UNSETTLED, after=after, limit=CLOSE_ITEMS_PER_STEP
        ):
            recorder = Recorder({channel.channel_id: channel}, now)
            for row in rows:
                recorder.move(row, sync.disconnected(row.facts, DISCONNECTED))
                row.read_back_at = None
            await recorder.flush(tx)
            after = rows[-1].item_id
        await items.stop_read_back(tx, channel)
        await shelf.forget(tx, channel)
        await work.end_all(tx, channel.brand_id, channel.channel_id)
        await hunts.end_all(tx, channel)
        await channels.set_state(tx, channel, "closed", "connection_deleted: The connection was deleted.")
        await work.stop(tx, channel.channel_id)
        await removals.channel_closed(tx, channel, now)


def _elsewhere(held: Channel, fresh: Channel) -> bool:
    """Another catalog than before: what is known of the old one's items says nothing of this one's."""
    return (held.base_url, dict(held.external_ids)) != (fresh.base_url, dict(fresh.external_ids))


def _settings(channel: Channel) -> tuple[object, ...]:
    ids = tuple(sorted(channel.external_ids.items()))
    return (ids, channel.base_url, channel.market, channel.language, channel.currency)
