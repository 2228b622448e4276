"""Use cases of brands."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.exc import IntegrityError

from vitrin.accounts import audit, domain, events, places, repository
from vitrin.accounts import repository_people as people
from vitrin.accounts.errors import BootstrapDone, BrandInvalid, BrandNotFound, OrganisationNotFound, SlugTaken
from vitrin.accounts.service_keys import new_key_row
from vitrin.kit.access import Principal
from vitrin.kit.access.errors import TestKeyOnLiveBrand
from vitrin.kit.access.tokens import Token
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.errors import FieldError
from vitrin.kit.idempotency.once import IdempotencyKeyReused
from vitrin.kit.ids import BrandId, new_uuid

OPERATOR = "operator"
BOOTSTRAP = "bootstrap"


class Brands:
    def __init__(self, database: AppDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(
        self, fields: Mapping[str, Any], *, actor: str = OPERATOR, brand_id: BrandId | None = None
    ) -> tuple[Any, list[tuple[Any, Token]]]:
        """The brand, and its first owner keys (live, test) with their tokens.

        BrandInvalid, SlugTaken, OrganisationNotFound; BootstrapDone for the actor BOOTSTRAP when there has been a
        brand; IdempotencyKeyReused when there is one with this id.
        """
        _check(fields)
        now = self._clock()
        brand_id = brand_id or BrandId(new_uuid())
        row = {
            **fields,
            "brand_id": brand_id,
            "version": 1,
            "has_live_connection": False,
            "organisation_id": fields.get("organisation_id") or brand_id,
            "approval_needs_other_person": False,
            "created_at": now,
            "updated_at": now,
        }
        keys = []
        try:
            async with self._database.write(brand_id) as tx:
                first = await repository.claim_first_brand(tx, now)
                if actor == BOOTSTRAP and not first:
                    raise BootstrapDone
                if fields.get("organisation_id") is None:
                    await people.insert_organisation(tx, brand_id, fields["name"], now)
                brand = await repository.insert_brand(tx, row)
                tx.publish(events.brand_changed(brand, at=now))
                await audit.record(
                    tx,
                    brand_id=brand_id,
                    at=now,
                    actor=actor,
                    action="brand.create",
                    subject=f"brand:{brand_id}",
                    before=None,
                    after=brand,
                )
                for mode in ("live", "test"):
                    wanted = {"name": f"First {mode} key", "kind": "secret", "mode": mode, "role": "owner"}
                    values, token = new_key_row(
                        wanted, brand_id=brand_id, scopes=domain.ROLE_SCOPES["owner"], now=now, actor=actor
                    )
                    key = await repository.insert_key(tx, values)
                    tx.publish(events.api_key_changed(key, at=now))
                    await audit.record(
                        tx,
                        brand_id=brand_id,
                        at=now,
                        actor=actor,
                        action="key.create",
                        subject=f"key:{key.key_id}",
                        before=None,
                        after=key,
                    )
                    keys.append((key, token))
        except IntegrityError as error:
            if "brands_slug_is_unique" in str(error.orig):
                raise SlugTaken(f"The slug {fields['slug']!r} is taken.", field="slug") from error
            if "brands_organisation_id_fkey" in str(error.orig):
                raise OrganisationNotFound(field="organisation_id") from error
            if any(name in str(error.orig) for name in ("brands_pkey", "organisations_pkey")):
                raise IdempotencyKeyReused(field="Idempotency-Key") from error
            raise
        return brand, keys

    async def get(self, caller: Principal, brand_id: BrandId) -> Any:
        if brand_id != caller.brand_id:
            raise BrandNotFound
        async with self._database.read(caller.brand_id) as session:
            found = await repository.brand(session, brand_id)
        if found is None:
            raise BrandNotFound
        return found

    async def change(self, caller: Principal, brand_id: BrandId, changes: Mapping[str, Any]) -> Any:
        """A change without a difference changes nothing and publishes nothing."""
        if brand_id != caller.brand_id:
            raise BrandNotFound
        _check(changes)
        now = self._clock()
        async with self._database.write(brand_id) as tx:
            before = await repository.lock_brand(tx, brand_id)
            if before is None:
                raise BrandNotFound
            if caller.mode == "test" and before.has_live_connection:
                raise TestKeyOnLiveBrand
            different = {name: value for name, value in changes.items() if getattr(before, name) != value}
            if not different:
                return before
            after = await repository.update_brand(tx, brand_id, {**different, "updated_at": now})
            tx.publish(events.brand_changed(after, at=now))
            await audit.record(
                tx,
                brand_id=brand_id,
                at=now,
                actor=caller.actor,
                action="brand.change",
                subject=f"brand:{brand_id}",
                before=before,
                after=after,
            )
        return after


def _check(fields: Mapping[str, Any]) -> None:
    checks: dict[str, Callable[[str], FieldError | None]] = {
        "slug": domain.slug_error,
        "storefront_url": lambda value: domain.url_error("storefront_url", value),
        "default_currency": lambda value: places.currency_error("default_currency", value),
        "default_market": lambda value: places.market_error("default_market", value),
        "language": lambda value: places.language_error("language", value),
        "time_zone": lambda value: places.time_zone_error("time_zone", value),
    }
    found = [check(fields[name]) for name, check in checks.items() if name in fields]
    errors = [error for error in found if error is not None]
    if errors:
        raise BrandInvalid(errors[0].message, field=errors[0].field, errors=errors)
