"""`/v1/shops/{connection_id}/locations`: whose stock counts."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from vitrin.catalog.api.common import Reader, Writer
from vitrin.catalog.shop.locations import LocationService
from vitrin.catalog.shop.repository_products import Key
from vitrin.catalog.shop.repository_stock import LocationRow
from vitrin.kit.ids import ConnectionId

LOCATIONS_MAX: Final = 1_000
router = APIRouter(prefix="/v1/shops", tags=["shops"])


class Location(BaseModel):
    id: str
    name: str = Field(description="Empty while only stock has named the location.")
    active: bool
    counted: bool = Field(description="Whether its stock is part of the items' quantities.")


class Locations(BaseModel):
    """`chosen`: the brand said which ones count; otherwise all active ones do."""

    data: list[Location]
    chosen: bool


class LocationChoice(BaseModel):
    model_config = ConfigDict(extra="forbid")
    counted: Annotated[
        list[Annotated[str, Field(max_length=100, pattern="^[^\\x00]*$")]] | None,
        Field(
            max_length=LOCATIONS_MAX, description="Ids of the locations that count; null: all active ones."
        ),
    ]


class LocationsChosen(Locations):
    recounted: int = Field(description="Items whose quantity was decided anew.")


def _rows(found: list[LocationRow]) -> list[Location]:
    return [
        Location(id=one.location_id, name=one.name, active=one.active, counted=one.counted) for one in found
    ]


def _service(request: Request) -> LocationService:
    service: LocationService = request.app.state.shop_locations
    return service


@router.get("/{connection_id}/locations", summary="Locations of a shop, and which of them count")
async def list_locations(request: Request, connection_id: UUID, principal: Reader) -> Locations:
    found = list(await _service(request).list(Key(principal.brand_id, ConnectionId(connection_id))))
    return Locations(data=_rows(found), chosen=any(one.chosen is not None for one in found))


@router.put("/{connection_id}/locations", summary="Choose the locations whose stock counts")
async def choose_locations(
    request: Request, connection_id: UUID, principal: Writer, choice: LocationChoice
) -> LocationsChosen:
    """Quantities are decided anew before the answer; repeat a call that broke off."""
    key = Key(principal.brand_id, ConnectionId(connection_id))
    done = await _service(request).choose(key, choice.counted, actor=principal.actor)
    found = list(done.locations)
    return LocationsChosen(
        data=_rows(found), chosen=any(one.chosen is not None for one in found), recounted=done.recounted
    )
