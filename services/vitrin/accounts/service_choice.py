"""Use cases of the choice after a consent: what there is to choose from, and the choice that starts the connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError

from vitrin.accounts import audit, domain, events, repository
from vitrin.accounts.domain_oauth import CHOOSE_ASSETS
from vitrin.accounts.errors import BrandNotFound, ConnectionInvalid, ConnectionNotFound
from vitrin.accounts.errors_oauth import AssetsChosen
from vitrin.accounts.kinds import KINDS, visible_modes
from vitrin.accounts.service_connections import (
    Connections,
    catalog_conflict,
    place_errors,
)
from vitrin.accounts.service_grants import Grants
from vitrin.kit.access import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.errors import FieldError
from vitrin.kit.ids import BrandId, ConnectionId
from vitrin.platforms.base import PlatformSpec
from vitrin.platforms.oauth import Asset
from vitrin.platforms.registry import PLATFORMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachable:
    connection: Any
    spec: PlatformSpec
    assets: list[Asset]


class Choice:
    def __init__(
        self, database: AppDatabase, clock: Clock, *, grants: Grants, connections: Connections
    ) -> None:
        self._database = database
        self._clock = clock
        self._grants = grants
        self._connections = connections

    async def reachable(self, caller: Principal, connection_id: ConnectionId) -> Reachable:
        """Asked of the platform anew every time. ConnectionNotFound, AssetsUnreadable, PlatformSilent."""
        row = await self._connections.get(caller, connection_id)
        if KINDS[row.platform].shop is not None:
            raise AssetsChosen("The shop is what was connected: there is nothing to choose.")
        token = self._grants.token_of(row)
        assets = await self._grants.assets(row, token, frozenset(row.scopes))
        return Reachable(connection=row, spec=PLATFORMS[row.platform], assets=assets)

    async def choose(self, caller: Principal, connection_id: ConnectionId, wanted: Mapping[str, Any]) -> Any:
        """The connection starts: the same event as one that was made by hand.

        ConnectionNotFound, AssetsChosen, ConnectionInvalid, AlreadyConnected, CatalogInUse, and of `reachable`."""
        found = await self.reachable(caller, connection_id)
        if found.connection.state != CHOOSE_ASSETS:
            raise AssetsChosen
        ids = _completed(wanted["external_ids"], found)
        _check(ids, wanted, found)
        now = self._clock()
        chosen = {
            "external_ids": ids,
            "state": "active",
            "updated_at": now,
            **{name: wanted[name] for name in ("market", "language", "currency") if wanted.get(name)},
            "id_template": wanted["id_template"],
        }
        try:
            async with self._database.write(caller.brand_id) as tx:
                brand = await repository.lock_brand(tx, caller.brand_id)
                before = await repository.lock_connection(
                    tx, caller.brand_id, connection_id, modes=visible_modes(caller)
                )
                if brand is None:
                    raise BrandNotFound
                if before is None:
                    raise ConnectionNotFound
                if before.state != CHOOSE_ASSETS:
                    raise AssetsChosen
                after = await repository.update_connection(tx, caller.brand_id, connection_id, chosen)
                tx.publish(events.connection_changed(after, at=now))
                await audit.record(
                    tx,
                    brand_id=BrandId(after.brand_id),
                    at=now,
                    actor=caller.actor,
                    action="connection.choose",
                    subject=f"connection:{connection_id}",
                    before=before,
                    after=after,
                )
                await self._connections.follow_live(tx, brand, at=now, actor=caller.actor)
        except IntegrityError as error:
            conflict = catalog_conflict(error, found.connection.mode, KINDS[found.connection.platform])
            raise (conflict or error) from error
        return after


def _completed(chosen: Mapping[str, str], found: Reachable) -> dict[str, str]:
    """What was chosen, with what follows from it (a catalog's business) and what there is only one of, where the
    platform needs it."""
    ids = {name: value for name, value in chosen.items() if value}
    by_choice = {(one.kind, one.id): one for one in found.assets}
    for kind, value in list(ids.items()):
        asset = by_choice.get((kind, value))
        for name, implied in (asset.implies if asset else {}).items():
            ids.setdefault(name, implied)
    for name in found.spec.required_external_ids:
        only = {one.id for one in found.assets if one.kind == name}
        if name not in ids and len(only) == 1:
            ids[name] = only.pop()
    for kind, value in list(ids.items()):
        asset = by_choice.get((kind, value))
        for name, implied in (asset.implies if asset else {}).items():
            ids.setdefault(name, implied)
    return ids


def _check(ids: Mapping[str, str], wanted: Mapping[str, Any], found: Reachable) -> None:
    errors = domain.external_id_errors(
        ids, required=found.spec.required_external_ids, optional=found.spec.optional_external_ids
    )
    kinds = {one.kind for one in found.assets}
    reachable = {(one.kind, one.id): one for one in found.assets}
    for kind, value in ids.items():
        if (
            kind not in kinds
            and kind in found.spec.optional_external_ids
            and kind not in wanted["external_ids"]
        ):
            continue
        asset = reachable.get((kind, value))
        if asset is None and not any(error.field == f"external_ids.{kind}" for error in errors):
            errors.append(
                FieldError(
                    f"external_ids.{kind}",
                    "asset_not_reachable",
                    f"The consent reaches no {kind} {value!r}.",
                    "Choose from GET /v1/connections/{id}/assets, or consent with another account.",
                )
            )
        for name, implied in (asset.implies if asset else {}).items():
            if ids.get(name, implied) != implied and kind == "catalog_id":
                errors.append(
                    FieldError(
                        f"external_ids.{name}",
                        "asset_mismatch",
                        f"The catalog {value} belongs to {name} {implied}, not {ids[name]}.",
                        f"Leave {name} out: it follows from the catalog.",
                    )
                )
    errors += place_errors(wanted)
    if errors:
        raise ConnectionInvalid(errors[0].message, field=errors[0].field, errors=errors)
