"""The HTTP door of adoption: what a platform's catalog held before, deciding doubts, asking for removals."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request

from vitrin.kit.access.http import require
from vitrin.kit.access.principal import Principal
from vitrin.kit.http.paging import decode_cursor, encode_cursor
from vitrin.kit.idempotency import IdempotentRoute
from vitrin.shop_sync import schemas_adoption as schemas
from vitrin.shop_sync import schemas_removals
from vitrin.shop_sync.api_removals import removal_document
from vitrin.shop_sync.domain.words import platform_name
from vitrin.shop_sync.errors import AdoptionItemsUnknown
from vitrin.shop_sync.service.adoption import Adoption, Choice, Summary

router = APIRouter(prefix="/v1/channels/{channel_id}", tags=["adoption"], route_class=IdempotentRoute)

Reader = Annotated[Principal, Depends(require("sync:read"))]
Writer = Annotated[Principal, Depends(require("sync:write"))]
ChannelPath = Annotated[UUID, Path(description="Id of the channel.")]
Cursor = Annotated[str | None, Query(description="'next_cursor' of the page before.", max_length=1024)]
Limit = Annotated[int, Query(ge=1, le=500, description="Rows per page.")]


def _adoption(request: Request) -> Adoption:
    adoption: Adoption = request.app.state.adoption
    return adoption


Use = Annotated[Adoption, Depends(_adoption)]


@router.get("/adoption", summary="What the platform's catalog held before, and what became of it")
async def get_adoption(principal: Reader, adoption: Use, channel_id: ChannelPath) -> schemas.Adoption:
    return _summary(await adoption.summary(principal, channel_id))


@router.get("/adoption/items", summary="The items that the platform held before")
async def list_adoption_items(
    *,
    principal: Reader,
    adoption: Use,
    channel_id: ChannelPath,
    state: Annotated[schemas.ItemState | None, Query(description="Only items in this state.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.AdoptionItemPage:
    position = decode_cursor(cursor, ["after"])
    after = str(position["after"]) if position else ""
    rows = await adoption.items(principal, channel_id, state=state, after=after, limit=limit + 1)
    page = [schemas.AdoptionItem.model_validate(dict(row._mapping)) for row in rows[:limit]]
    more = encode_cursor({"after": page[-1].platform_item_id}) if len(rows) > limit else None
    return schemas.AdoptionItemPage(data=page, next_cursor=more)


@router.post("/adoption:refresh", summary="List the platform's catalog again")
async def refresh_adoption(principal: Writer, adoption: Use, channel_id: ChannelPath) -> schemas.Adoption:
    """What was adopted stays so, and sending goes on meanwhile where it did before."""
    return _summary(await adoption.refresh(principal, channel_id))


@router.post("/adoption:skip", summary="Send without knowing what the catalog holds")
async def skip_adoption(principal: Writer, adoption: Use, channel_id: ChannelPath) -> schemas.Adoption:
    """For a listing that does not get on. Items that go by other ids there than the template makes are doubled."""
    return _summary(await adoption.skip(principal, channel_id))


@router.post("/adoption:resolve", summary="Say which of the platform's items is which of the shop's")
async def resolve_adoption(
    principal: Writer, adoption: Use, channel_id: ChannelPath, resolution: schemas.Resolution
) -> schemas.Adoption:
    """Strangers, ambiguous and left ones can be decided. What waited for it is sent then."""
    choices = {one.platform_item_id: one.item_id for one in resolution.choices}
    if len(choices) != len(resolution.choices):
        raise AdoptionItemsUnknown("An item of the platform is named twice.", field="choices")
    found = [Choice(platform_id, item_id) for platform_id, item_id in choices.items()]
    return _summary(await adoption.resolve(principal, channel_id, found))


@router.post("/adoption:remove", summary="Ask for the removal of items that nobody claims", status_code=201)
async def remove_strangers(
    principal: Writer, adoption: Use, channel_id: ChannelPath, wish: schemas.RemovalWish
) -> schemas_removals.Removal:
    """Makes a removal request. Nothing is deleted before POST /v1/removals/{id}:approve."""
    if (wish.ids is None) is not wish.all:
        raise AdoptionItemsUnknown("Give either 'ids' or 'all': true.", field="ids")
    row = await adoption.remove(principal, channel_id, wish.ids)
    return schemas_removals.Removal(**removal_document(row))


def _summary(found: Summary) -> schemas.Adoption:
    stock, counts = found.stock, found.counts
    by_state: dict[str, int] = {}
    for (state, _), items in counts.items():
        by_state[state] = by_state.get(state, 0) + items
    hows = {how: items for (state, how), items in counts.items() if state == "adopted"}
    state = stock.state if stock else ("not_taken" if found.lists_items else "cannot_list")
    return schemas.Adoption.model_validate(
        {
            "channel_id": found.channel.channel_id,
            "state": state,
            "summary": _words(found, state, by_state),
            "holds_sends": found.channel.stock == "taking",
            "trouble": stock.trouble if stock else "",
            "listed": stock.listed if stock else 0,
            "indexed": stock.indexed if stock else 0,
            "adopted": {how: hows.get(how, 0) for how in ("id", "gtin", "link", "choice")},
            "ambiguous": by_state.get("ambiguous", 0),
            "strangers": by_state.get("stranger", 0),
            **{name: by_state.get(name, 0) for name in ("left", "removal", "removing", "removed")},
            "started_at": stock.started_at if stock else None,
            "finished_at": stock.finished_at if stock else None,
        }
    )


def _words(found: Summary, state: str, by_state: dict[str, int]) -> str:
    platform, stock = platform_name(found.channel.platform), found.stock
    listed = stock.listed if stock else 0
    if state == "done":
        return (
            f"{platform}'s catalog held {listed} items: {by_state.get('adopted', 0)} taken over,"
            f" {by_state.get('ambiguous', 0)} in doubt, {by_state.get('stranger', 0)} left alone."
        )
    trouble = stock.trouble if stock else ""
    words = {
        "not_taken": "The channel was opened before Vitrin looked at what catalogs hold: adoption:refresh looks.",
        "cannot_list": f"{platform} does not say what a catalog holds. An item there that goes by the id that the"
        " channel's id template makes is updated; others are never touched.",
        "skipped": "Somebody decided to send without knowing what the catalog holds.",
        "failed": f"{platform}'s catalog cannot be listed: {trouble} It is tried again; adoption:skip sends now.",
        "listing": f"{listed} items of {platform}'s catalog are listed so far. {trouble}".strip(),
    }
    return words.get(state, f"{listed} items of {platform}'s catalog are being matched with the shop's.")
