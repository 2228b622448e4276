"""Use cases of webhook endpoints."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from vitrin.kit.access import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.errors import FieldError
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.kit.outbound import OutboundFailure, OutboundPolicy, check_url
from vitrin.notify.domain.kinds import KINDS
from vitrin.notify.errors import EndpointInvalid, EndpointNotFound, EndpointsTooMany, SecretsTooMany
from vitrin.notify.repository import endpoints, events
from vitrin.notify.service.secrets import Secrets

ENDPOINTS_MAX: Final = 50
SECRETS_MAX: Final = 5
"""Valid at the same time: as many signatures go with each webhook."""


class Shown(NamedTuple):
    """An endpoint with its valid secrets, without their text."""

    row: Any
    secrets: Sequence[Any]


class Endpoints:
    """`is_well`: who is told that an endpoint was enabled or deleted, in the transaction."""

    def __init__(
        self,
        *,
        database: AppDatabase,
        clock: Clock,
        secrets: Secrets,
        policy: OutboundPolicy,
        is_well: Callable[[WriteSession, BrandId, UUID], Awaitable[None]],
    ) -> None:
        self._database = database
        self._clock = clock
        self._secrets = secrets
        self._policy = policy
        self._is_well = is_well

    async def create(self, caller: Principal, wanted: Mapping[str, Any]) -> tuple[Shown, str]:
        """The endpoint, and its secret, which is shown this once. EndpointInvalid, EndpointsTooMany."""
        self._check(wanted)
        now, endpoint_id = self._clock(), new_uuid()
        text, secret = self._secrets.make(endpoint_id, now)
        values = {
            "endpoint_id": endpoint_id,
            "url": wanted["url"],
            "description": wanted["description"],
            "event_types": sorted(set(wanted["event_types"])),
            "ordered": wanted["ordered"],
            "by": caller.actor,
            "now": now,
            **_switch(enabled=wanted["enabled"], by=caller.actor, now=now),
        }
        async with self._database.write(caller.brand_id) as tx:
            await endpoints.lock_brand(tx, caller.brand_id)
            if await endpoints.count(tx, caller.brand_id) >= ENDPOINTS_MAX:
                raise EndpointsTooMany(f"A brand has at most {ENDPOINTS_MAX} webhook endpoints.")
            await endpoints.insert(tx, caller.brand_id, values)
            await endpoints.add_secret(tx, caller.brand_id, endpoint_id, secret)
            made = await self._shown(tx, caller.brand_id, endpoint_id, now)
        return made, text

    async def page(self, caller: Principal, *, after: UUID | None, limit: int) -> list[Shown]:
        now = self._clock()
        async with self._database.read(caller.brand_id) as tx:
            rows = await endpoints.page(tx, caller.brand_id, after=after, limit=limit)
            return [
                Shown(row, await endpoints.secrets(tx, caller.brand_id, row.endpoint_id, now)) for row in rows
            ]

    async def get(self, caller: Principal, endpoint_id: UUID) -> Shown:
        async with self._database.read(caller.brand_id) as tx:
            return await self._shown(tx, caller.brand_id, endpoint_id, self._clock())

    async def change(self, caller: Principal, endpoint_id: UUID, changes: Mapping[str, Any]) -> Shown:
        """What waits goes to the new address. Disabling drops what waits; enabling begins with what happens next."""
        now = self._clock()
        self._check(changes)
        async with self._database.write(caller.brand_id) as tx:
            row = await endpoints.lock(tx, caller.brand_id, endpoint_id)
            if row is None:
                raise EndpointNotFound
            values = {
                name: changes.get(name, getattr(row, name))
                for name in ("url", "description", "event_types", "ordered", "enabled")
            }
            values["event_types"] = sorted(set(values["event_types"]))
            switch = {
                name: getattr(row, name)
                for name in ("enabled", "disabled_code", "disabled_reason", "disabled_at")
            }
            if values["enabled"] != row.enabled:
                switch = _switch(enabled=values["enabled"], by=caller.actor, now=now)
                if values["enabled"]:
                    await endpoints.forget_failures(tx, caller.brand_id, endpoint_id)
                # When it is enabled too: an event that was being stored while it was disabled may have left one.
                await events.drop_pending(
                    tx, caller.brand_id, endpoint_id, outcome="endpoint_disabled", now=now
                )
            await endpoints.change(tx, caller.brand_id, endpoint_id, {**values, **switch, "now": now})
            if values["enabled"] and not row.enabled:
                await self._is_well(tx, caller.brand_id, endpoint_id)
            return await self._shown(tx, caller.brand_id, endpoint_id, now)

    async def delete(self, caller: Principal, endpoint_id: UUID) -> None:
        """Its secrets are destroyed with it, and what waits is dropped. Again: EndpointNotFound."""
        now = self._clock()
        async with self._database.write(caller.brand_id) as tx:
            if await endpoints.lock(tx, caller.brand_id, endpoint_id) is None:
                raise EndpointNotFound
            await events.drop_pending(tx, caller.brand_id, endpoint_id, outcome="endpoint_deleted", now=now)
            await endpoints.delete(tx, caller.brand_id, endpoint_id)
            await self._is_well(tx, caller.brand_id, endpoint_id)

    async def rotate(self, caller: Principal, endpoint_id: UUID, *, overlap: timedelta) -> tuple[Shown, str]:
        """A new secret, shown this once; the earlier ones sign beside it for `overlap`. EndpointNotFound,
        SecretsTooMany."""
        now = self._clock()
        text, secret = self._secrets.make(endpoint_id, now)
        async with self._database.write(caller.brand_id) as tx:
            if await endpoints.lock(tx, caller.brand_id, endpoint_id) is None:
                raise EndpointNotFound
            await endpoints.end_secrets(tx, caller.brand_id, endpoint_id, until=now + overlap, now=now)
            if len(await endpoints.secrets(tx, caller.brand_id, endpoint_id, now)) >= SECRETS_MAX:
                raise SecretsTooMany(f"An endpoint has at most {SECRETS_MAX} valid secrets.")
            await endpoints.add_secret(tx, caller.brand_id, endpoint_id, secret)
            return await self._shown(tx, caller.brand_id, endpoint_id, now), text

    async def attempts(
        self,
        caller: Principal,
        endpoint_id: UUID,
        *,
        outcome: str | None,
        position: tuple[datetime, UUID] | None,
        limit: int,
    ) -> Sequence[Any]:
        """The delivery log, the newest first."""
        async with self._database.read(caller.brand_id) as tx:
            if await endpoints.get(tx, caller.brand_id, endpoint_id) is None:
                raise EndpointNotFound
            return await events.attempts(
                tx, caller.brand_id, endpoint_id, outcome=outcome, position=position, limit=limit
            )

    async def _shown(self, tx: ReadSession, brand: BrandId, endpoint_id: UUID, now: datetime) -> Shown:
        row = await endpoints.get(tx, brand, endpoint_id)
        if row is None:
            raise EndpointNotFound
        return Shown(row, await endpoints.secrets(tx, brand, endpoint_id, now))

    def _check(self, wanted: Mapping[str, Any]) -> None:
        """What can be said without a look-up; what the name leads to is checked at every call."""
        found = []
        if "url" in wanted:
            try:
                check_url(wanted["url"], self._policy)
            except OutboundFailure as refused:
                found.append(FieldError("url", refused.code, refused.detail, refused.fix))
        unknown = sorted(set(wanted.get("event_types", ())) - set(KINDS))
        if unknown:
            fix = f"Choose from: {', '.join(KINDS)}; an empty list takes every type."
            detail = f"There is no type {unknown[0][:100]!r}."
            found.append(FieldError("event_types", "webhook_type_unknown", detail, fix))
        if found:
            raise EndpointInvalid(found[0].message, field=found[0].field, fix=found[0].fix, errors=found)


def _switch(*, enabled: bool, by: str, now: datetime) -> dict[str, Any]:
    if enabled:
        return {"enabled": True, "disabled_code": "", "disabled_reason": "", "disabled_at": None}
    return {
        "enabled": False,
        "disabled_code": "by_hand",
        "disabled_reason": f"Disabled by {by}.",
        "disabled_at": now,
    }
