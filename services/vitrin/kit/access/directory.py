"""From an API key to a Principal: the replica first, accounts itself where the replica is too old or has no such key.

    the replica is younger than 30 s      the replica decides; a key it does not have yet is asked for
    older, accounts answers               accounts decides, and a metric says that it was asked
    older, accounts is down               the replica decides up to `access_stale_max_s`, then 503

An answer is kept for `CACHE_S`. That, and not an event, bounds how long a process honours a revoked key it has
just seen: members of a consumer group share partitions, so no process sees every event.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Final, Protocol

import grpc
from sqlalchemy import select, text

from vitrin.kit import metrics
from vitrin.kit.access import models
from vitrin.kit.access.errors import AccessUnavailable, KeyExpired, KeyRevoked, KeyUnknown
from vitrin.kit.access.lookup import LOOKUP_KEY
from vitrin.kit.access.principal import Principal
from vitrin.kit.access.records import (
    BrandDefaults,
    KeyRecord,
    brand_row,
    defaults_record,
    key_record,
    key_row,
)
from vitrin.kit.access.tokens import Token, parse_token
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import BrandId, KeyId
from vitrin.kit.logs import get_logger
from vitrin.protos.accounts.v1 import access_pb2, access_pb2_grpc

FRESH_S: Final = 30.0
STALE_MAX_S: Final = 900.0
CACHE_S: Final = 0.25
CACHE_KEYS_MAX: Final = 10_000
ASK_DEADLINE_S: Final = 1.0
ASKS_PER_S_MAX: Final = 50
"""Questions to accounts about keys that a fresh replica does not have; beyond it they are unknown keys."""

_log = get_logger("vitrin.access")
ASKED = metrics.counter(
    "vitrin_access_asked_total",
    "Keys asked for at accounts, because the replica was too old (stale) or did not have them (missing).",
    ("reason", "outcome"),
)
AGE = metrics.gauge(
    "vitrin_access_replica_age_seconds", "Time since the replica of keys last stood at the end of its topics."
)


class KeyDirectory(Protocol):
    async def authenticate(self, token: str) -> Principal:
        """Raises Unauthenticated (`key_malformed`, `key_unknown`, `key_revoked`, `key_expired`)."""


class HasAge(Protocol):
    def age_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Known:
    """A key with its brand; None for the brand when it was deleted."""

    key: KeyRecord
    brand: BrandDefaults | None


def admit(token: Token, known: Known | None, now: datetime) -> Principal:
    """The decision, the same wherever the key was found."""
    if known is None or known.brand is None or not token.matches(known.key.secret_hash):
        raise KeyUnknown
    key = known.key
    if (key.kind, key.mode) != (token.kind, token.mode):
        raise KeyUnknown
    if key.revoked_at is not None:
        raise KeyRevoked
    if key.expires_at is not None and key.expires_at <= now:
        raise KeyExpired
    return Principal(
        brand_id=key.brand_id,
        key_id=key.key_id,
        kind=key.kind,
        mode=key.mode,
        role=key.role,
        scopes=key.scopes,
        brand_has_live_connection=known.brand.has_live_connection,
        brand_approval_needs_other_person=known.brand.approval_needs_other_person,
        member_id=key.member_id,
    )


class ReplicaDirectory:
    """KeyDirectory of every service but accounts."""

    def __init__(
        self,
        app_db: AppDatabase,
        consumer: HasAge,
        accounts_stub: "access_pb2_grpc.AccessServiceAsyncStub",
        clock: Clock,
        *,
        access_stale_max_s: float = STALE_MAX_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = app_db
        self._consumer = consumer
        self._accounts = accounts_stub
        self._clock = clock
        self._stale_max_s = access_stale_max_s
        self._monotonic = monotonic
        self._cache: OrderedDict[KeyId, tuple[float, Known]] = OrderedDict()
        self._told: OrderedDict[BrandId, BrandDefaults] = OrderedDict()
        self._asked_since = 0.0
        self._asked = 0

    async def authenticate(self, token: str) -> Principal:
        parsed = parse_token(token)
        return admit(parsed, await self._find(parsed.key_id), self._clock())

    async def brand_defaults(self, brand_id: BrandId) -> BrandDefaults:
        """From the replica; raises AccessUnavailable while it has not arrived."""
        async with self._database.read(brand_id) as session:
            found = await brand_defaults(session, brand_id)
        found = found or self._told.get(brand_id)
        if found is None:
            raise AccessUnavailable("The brand has not arrived here yet.")
        return found

    async def _find(self, key_id: KeyId) -> Known | None:
        cached = self._cache.get(key_id)
        if cached is not None and self._monotonic() - cached[0] < CACHE_S:
            return cached[1]
        known = await self._fresh(key_id)
        self._cache.pop(key_id, None)
        if known is not None:
            self._cache[key_id] = (self._monotonic(), known)
            if len(self._cache) > CACHE_KEYS_MAX:
                self._cache.popitem(last=False)
        return known

    async def _fresh(self, key_id: KeyId) -> Known | None:
        age_s = self._consumer.age_s()
        AGE.set(age_s)
        if age_s > FRESH_S:
            return await self._when_stale(key_id, age_s)
        known = await self._replica(key_id)
        if (known is None or known.brand is None) and self._may_ask():
            try:
                return await self._ask(key_id, "missing")
            except grpc.aio.AioRpcError:
                return known
        return known

    async def _when_stale(self, key_id: KeyId, age_s: float) -> Known | None:
        try:
            return await self._ask(key_id, "stale")
        except grpc.aio.AioRpcError as error:
            _log.warning("accounts_unreachable", status=error.code().name, replica_age_s=age_s)
            if age_s > self._stale_max_s:
                raise AccessUnavailable(
                    f"The list of keys is older than {self._stale_max_s:g} s and accounts does not answer."
                ) from error
            return await self._replica(key_id)

    def _may_ask(self) -> bool:
        now = self._monotonic()
        if now - self._asked_since >= 1.0:
            self._asked_since, self._asked = now, 0
        self._asked += 1
        return self._asked <= ASKS_PER_S_MAX

    async def _ask(self, key_id: KeyId, reason: str) -> Known | None:
        request = access_pb2.CheckKeyRequest(key_id=key_id)
        try:
            answer = await self._accounts.CheckKey(request, timeout=ASK_DEADLINE_S)
        except grpc.aio.AioRpcError:
            ASKED.labels(reason, "failed").inc()
            raise
        ASKED.labels(reason, "answered").inc()
        if not answer.found:
            return None
        brand = None
        if not answer.brand.deleted:
            brand = defaults_record(SimpleNamespace(**brand_row(answer.brand)))
            self._remember(brand)
        return Known(key_record(SimpleNamespace(**key_row(answer.key))), brand)

    def _remember(self, brand: BrandDefaults) -> None:
        self._told[brand.brand_id] = brand
        self._told.move_to_end(brand.brand_id)
        if len(self._told) > CACHE_KEYS_MAX:
            self._told.popitem(last=False)

    async def _replica(self, key_id: KeyId) -> Known | None:
        async with self._database.lookup() as session:
            await session.execute(_NAME_THE_KEY, {"key_id": key_id})
            row = await session.one_or_none(select(models.keys).where(models.keys.c.key_id == key_id))
            if row is None:
                return None
            key = key_record(row)
            return Known(key, await brand_defaults(session, key.brand_id))


_NAME_THE_KEY: Final = text(f"select set_config('{LOOKUP_KEY}', :key_id, true)")


async def brand_defaults(session: ReadSession, brand_id: BrandId) -> BrandDefaults | None:
    """From the replica, in a transaction of that brand (app or worker); None when unknown or deleted."""
    row = await session.one_or_none(
        select(models.brands).where(models.brands.c.brand_id == brand_id, ~models.brands.c.deleted)
    )
    return None if row is None else defaults_record(row)
