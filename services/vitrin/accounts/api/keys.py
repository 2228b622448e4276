"""/v1/api-keys"""

from fastapi import APIRouter, Request

from vitrin.accounts.api.parts import PAGE_ITEMS, Cursor, Limit, Reader, Writer, keys_of, page_limit
from vitrin.accounts.schemas import Key, KeyCreate, KeyRotation, NewKey, Page
from vitrin.kit.http import decode_cursor, encode_cursor
from vitrin.kit.idempotency import IdempotentRoute
from vitrin.kit.ids import KeyId

router = APIRouter(prefix="/v1/api-keys", tags=["api keys"], route_class=IdempotentRoute)


@router.post("", status_code=201)
async def create_key(request: Request, caller: Writer, body: KeyCreate) -> NewKey:
    """Create a key with at most the power of the calling key. It is shown this once."""
    row, token = await keys_of(request).create(caller, body.model_dump())
    return NewKey.shown(row, token)


@router.get("")
async def list_keys(
    request: Request, caller: Reader, limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Page[Key]:
    """All keys that the calling key may see, revoked ones too, never their secrets."""
    size = page_limit(request, limit)
    position = decode_cursor(cursor, {"k"})
    after = "" if position is None else str(position["k"])
    rows = await keys_of(request).page(caller, after=after, limit=size + 1)
    more = encode_cursor({"k": rows[size - 1].key_id}) if len(rows) > size else None
    return Page(data=[Key.of(row) for row in rows[:size]], next_cursor=more)


@router.get("/{key_id}")
async def read_key(request: Request, caller: Reader, key_id: str) -> Key:
    return Key.of(await keys_of(request).get(caller, KeyId(key_id)))


@router.post("/{key_id}:rotate", status_code=201)
async def rotate_key(request: Request, caller: Reader, key_id: str, body: KeyRotation) -> NewKey:
    """A new key with the same name and power, shown this once. The old one goes on working for `overlap_s`, then stops
    in every service within a second. 409 `key_rotated` when it was rotated already, `key_not_active` when it has ended.
    Needs `accounts:write`, except for a person's own key, which may rotate itself."""
    row, token = await keys_of(request).rotate(
        caller, KeyId(key_id), overlap_s=body.overlap_s, expires_at=body.expires_at
    )
    return NewKey.shown(row, token)


@router.delete("/{key_id}")
async def revoke_key(request: Request, caller: Writer, key_id: str) -> Key:
    """Revoke a key; it stops working in every service within a second. Repeating it changes nothing.
    409 `last_owner_key` for the last key that could make others."""
    return Key.of(await keys_of(request).revoke(caller, KeyId(key_id)))
