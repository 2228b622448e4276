"""Scenarios of the simulation, small ones, on the real parts: outbox and relay, broker, consumer, worker, PostgreSQL,
and the sandbox's platforms with its faults. The end is judged as in virtual time (`tests.simulation.verdict`).

Several scenarios run beside each other, each a brand of its own with an account of its own; the worker that serves all
of them is killed now and then (the relay is killed in `test_relay_order.py`)."""

import asyncio
import copy
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from tests.shop_sync.conftest import (
    Connected,
    Shop,
    platforms_url,
    shop,
    shop_database,
)
from tests.shop_sync.test_kills import kill, started
from tests.simulation.scenario import Change, Crash, Decide, Scenario, Step, Trouble, scenario
from tests.simulation.spine import OFFER, CatalogItem, Database, moment
from tests.simulation.verdict import AT_REST, wrong
from tests.support.figures import Say
from tests.support.spine import Spine
from vitrin.events import topics
from vitrin.events.envelope import Event, Message
from vitrin.kit.access.principal import Principal
from vitrin.kit.clock import system_clock
from vitrin.kit.consumer.loop import Consumer
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.ids import BrandId, KeyId, new_uuid
from vitrin.kit.kafka.admin import ensure_topics
from vitrin.kit.settings import DatabaseSettings, KafkaSettings
from vitrin.protos.accounts.v1.connection_pb2_grpc import ConnectionServiceStub
from vitrin.shop_sync.consumers import catalog_handler
from vitrin.shop_sync.domain.sync import State
from vitrin.shop_sync.errors import RemovalDecided
from vitrin.shop_sync.service.catalogs import Catalogs
from vitrin.shop_sync.service.removals import Removals

__all__ = ["platforms_url", "shop", "shop_database"]

FIRST: Final = int(os.environ.get("SCENARIOS_FIRST", "0"))
SEEDS: Final = int(os.environ.get("SCENARIOS_SEEDS", "200"))
TOGETHER: Final = 8
REST_S: Final = 60.0
"""So long nothing has happened; a busy machine is slow, and goes on."""
SHOWN_WITHIN_MS: Final = 300
PAUSES_S: Final = (0.0, 0.0, 0.0, 0.03, 0.1)
FAULTS: Final[dict[str, dict[str, Any]]] = {
    "lost_request": {"kind": "timeout_before", "hold_ms": 0},
    "lost_answer": {"kind": "timeout_after", "hold_ms": 0},
    "unwell": {"kind": "refuse", "error": "transient"},
    "throttle": {"kind": "throttle", "regain_s": 1},
    "half_batch": {"kind": "half_batch"},
    "fail_batch": {"kind": "fail_batch"},
    "lose_handle": {"kind": "lose_handle"},
    "outage": {"kind": "outage"},
    "drift": {"kind": "drift", "item_share": 0.5, "changes": ["price", "delete"]},
}


@dataclass
class House:
    """What all scenarios share: spine and worker. `kills` of either."""

    shop: Shop
    spine: Spine
    kafka: KafkaSettings
    kills: int = 0
    _worker: Any = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["House"]:
        stop = asyncio.Event()
        consumer = Consumer(
            group="scenarios.replica",
            topics=[topics.ITEM, topics.OFFER],
            handler=catalog_handler(self.shop.worker.replicas),
            database=self.shop.database,
            settings=self.kafka,
            probe=self.spine.probe,
            hints=self.spine.hints,
            clock=system_clock,
        )
        async with self.spine.running():
            loops = [
                asyncio.create_task(consumer.run(stop)),
                asyncio.create_task(self.shop.worker.releasing.run(stop)),
            ]
            self._worker = await started(self.shop, "scenarios-0")
            try:
                yield self
            finally:
                await kill(*self._worker)
                stop.set()
                await asyncio.wait(loops, timeout=20)

    async def crash(self) -> None:
        async with self._lock:
            await kill(*self._worker)
            self.kills += 1
            self._worker = await started(self.shop, "scenarios-0")


@dataclass
class Play:
    """One scenario: a brand, an account, and the catalog as it should be known at the end."""

    house: House
    made: Scenario
    catalog: Database = field(default_factory=Database)

    def __post_init__(self) -> None:
        self.shop = copy.copy(self.house.shop)
        self.shop.brand, self.shop.versions = BrandId(new_uuid()), {}
        self.chance = random.Random(f"real {self.made.seed}")
        self.platform = "pinterest" if self.made.traits.partial_update else "meta"
        self.removals = Removals(database=self.shop.app, clock=system_clock)
        self.approver = Principal(
            brand_id=self.shop.brand,
            key_id=KeyId("k"),
            kind="secret",
            mode="test",
            role="approver",
            scopes=frozenset({"sync:read", "sync:approve"}),
        )
        self.heard: list[Message] = []
        self.faults: list[str] = []

    async def run(self) -> str | None:
        """Why the end is wrong."""
        self.channel = await self.shop.connect(self.platform)
        await self.removals.change_policy(
            self.approver, percent=self.made.percent, at_least=self.made.at_least, guarded=None
        )
        if self.made.refused:
            await self._fault(kind="refuse_items", item_ids=sorted(self.made.refused), count=None)
        if self.made.nameless:
            await self._fault(kind="refuse_batch", item_ids=sorted(self.made.nameless), count=None)
        together: list[Change] = []
        for step in (*self.made.steps, None):
            if isinstance(step, Change) and (not together or step.at_s == together[0].at_s):
                together.append(step)
                continue
            await self._change(together)
            together = [step] if isinstance(step, Change) else []
            if step is not None and not isinstance(step, Change):
                await self._do(step)
            await asyncio.sleep(self.chance.choice(PAUSES_S))
        found = await self._judge()
        for fault_id in self.faults:
            await self.shop.sandbox.delete(f"/_sandbox/faults/{fault_id}")
        return found

    async def _do(self, step: Step) -> None:
        match step:
            case Trouble():
                await self._trouble(step)
            case Decide(approve=approve):
                await self._decide(approve=approve)
            case Crash():
                await self.house.crash()
            case _:
                raise AssertionError(f"not for the real parts: {step}")

    async def _fault(self, **spec: Any) -> None:
        account = self.channel.message.external_ids["catalog_id"]
        body = {"platform": self.platform, "account": account, **spec}
        answer = await self.shop.sandbox.post("/_sandbox/faults", json=body)
        assert answer.is_success, answer.text
        self.faults.append(answer.json()["id"])

    async def _trouble(self, trouble: Trouble) -> None:
        spec = dict(FAULTS[trouble.kind])
        if trouble.kind == "throttle" and self.platform == "meta":
            spec = FAULTS["unwell"]  # Meta tells whole minutes: longer than a test waits
        if trouble.kind == "outage":
            spec["duration_ms"] = int(trouble.for_s * 1000)
        else:
            spec["count"] = trouble.count
        if trouble.kind in {"half_batch", "drift"}:
            spec["seed"] = trouble.seed
        await self._fault(endpoint=trouble.endpoint, **spec)

    async def _decide(self, *, approve: bool) -> None:
        rows = await self.shop.rows(
            "select request_id from removal_requests where brand_id = :brand and state = 'open'"
        )
        for row in rows:
            with suppress(RemovalDecided):
                decision = "approved" if approve else "rejected"
                await self.removals.decide(self.approver, row.request_id, decision, note="scenario")

    async def _change(self, changes: Sequence[Change]) -> None:
        """One transaction of catalog, through outbox, relay, broker and consumer."""
        told = [
            self._message(change)
            for change in changes
            if self.catalog.change(change, moment(0)) and change.item in self.catalog.items
        ]
        self.heard += told
        if self.heard and self.chance.random() < 0.2:
            told.append(self.chance.choice(self.heard))  # comes again, late
        if not told:
            return
        async with self.house.spine.app.write(self.shop.brand) as tx:
            for message in told:
                tx.publish(
                    Event.of(
                        key=message.key,
                        type=message.type,
                        brand_id=message.brand_id,
                        message=message.decode(),
                        occurred_at=message.occurred_at,
                        received_at=message.received_at,
                    )
                )

    def _message(self, change: Change) -> Message:
        item = self.catalog.items[change.item]
        if change.kind in {OFFER, "sell_out", "restock"}:
            stock = (
                {"quantity": 0, "availability": "out_of_stock"}
                if item.availability == "out of stock"
                else {"quantity": 5}
            )
            return self.shop.offer(change.item, item.price or 0, version=item.offer_version, **stock)  # type: ignore[arg-type]
        if not item.exists:
            return self.shop.deleted(change.item, versions=(item.content_version, item.offer_version))
        return self.shop.content(
            change.item,
            version=item.content_version,
            title=f"Shirt {item.title}",
            status=item.status,
            **({} if item.valid else {"image_link": ""}),
        )

    async def _judge(self) -> str | None:
        """The troubles end by themselves; then everything has to come to rest. Wrong is what does not move any more."""
        clock = asyncio.get_running_loop().time
        moved_s, before = clock(), None
        while found := await self._wrong():
            steps = await self.shop.rows(
                "select count(*) as steps, (select coalesce(sum(tries + 1), 0) from attempts"
                " where brand_id = :brand) as tries from timeline where brand_id = :brand"
            )
            now = tuple(steps[0])
            if now != before:
                moved_s, before = clock(), now
            if clock() - moved_s > REST_S:
                return found
            await asyncio.sleep(0.1)
        return None

    async def _wrong(self) -> str | None:
        """What is not (yet) as it should be."""
        rows = await self.shop.rows(
            "select item_id, state, reasons, confirmed is not null as confirmed, content_version, offer_version"
            " from channel_items where brand_id = :brand"
        )
        open_work = await self.shop.rows(
            "select 'attempt' from attempts where brand_id = :brand"
            " union all select 'hunt' from hunts where brand_id = :brand"
        )
        known = {row.item_id: row for row in rows}
        shown = _plain(await Connected.shows(self.channel))
        for name, item in self.catalog.items.items():
            if not item.content_version:
                continue
            row = known.get(name)
            if row is None or row.content_version != item.content_version:
                return f"{name} was not heard of"
            if item.price is not None and row.offer_version != item.offer_version:
                return f"the offer of {name} was not heard of"
            found = self._wrong_item(name, item, row, shown)
            if found is not None:
                return f"{name} is {found} ({row.state}, {[reason['code'] for reason in row.reasons]})"
        return f"work is open: {open_work}" if open_work else None

    def _wrong_item(
        self, name: str, item: CatalogItem, row: Any, shown: dict[str, dict[str, object]]
    ) -> str | None:
        state = State(row.state)
        if state not in AT_REST:
            return "not at rest"
        held = any(reason["code"] in {"removal_held", "removal_rejected"} for reason in row.reasons)
        culprit = name in self.made.refused | self.made.nameless
        confirmed = bool(row.confirmed)
        return wrong(item, state, shown=shown.get(name), held=held, confirmed=confirmed, culprit=culprit)


def _plain(shows: dict[str, dict[str, Any]]) -> dict[str, dict[str, object]]:
    return {
        name: {
            "title": int(item["fields"]["title"].split()[-1]),
            "price": round(float(item["fields"]["price"].split()[0]) * 100),
            "availability": item["fields"]["availability"],
        }
        for name, item in shows.items()
    }


async def be_patient(shop: Shop) -> None:
    """The faults close connections at once: no answer is late but by a busy machine, and that is no fault. But what
    is accepted and not shown goes again soon."""
    await shop.http.close()
    shop.http = PlatformHttp(read_timeout_s=30.0, rate_factor=1_000)
    shop.catalogs = Catalogs(http=shop.http, accounts=ConnectionServiceStub(shop.channel), clock=system_clock)
    dispatch = shop.settings.dispatch.model_copy(update={"shown_within_ms": SHOWN_WITHIN_MS})
    shop.settings = shop.settings.model_copy(update={"dispatch": dispatch})
    shop.worker = shop.fresh_worker("scenarios")


@pytest.mark.timeout(900)
async def test_small_scenarios_end_right_on_the_real_parts(
    shop: Shop,
    database: DatabaseSettings,
    kafka: KafkaSettings,
    say: Say,
) -> None:
    await be_patient(shop)
    mine = kafka.model_copy(update={"topic_prefix": f"{kafka.topic_prefix}scenarios."})
    await asyncio.to_thread(ensure_topics, mine)
    spine = Spine(database=database, kafka=mine, member=False)
    waiting = list(range(FIRST, FIRST + SEEDS))
    broken: list[str] = []

    async def player(house: House) -> None:
        while waiting:
            seed = waiting.pop(0)
            found = await Play(house, scenario(seed, small=True)).run()
            print(f"seed {seed}: {found or 'right'}")
            if found is not None:
                broken.append(
                    f"{found}; again: SCENARIOS_SEEDS=1 SCENARIOS_FIRST={seed} make test-faults"
                    " T=tests/faults/test_scenarios.py"
                )

    async with House(shop, spine, mine).running() as house:
        await asyncio.gather(*(player(house) for _ in range(min(TOGETHER, SEEDS))))
        say(f"{SEEDS} scenarios on the real parts, {house.kills} kills of the worker, {len(broken)} wrong")
    assert not broken, "\n".join(broken)
