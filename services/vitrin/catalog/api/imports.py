"""`/v1/imports`: a file goes in, a state and a report per row come out."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from vitrin.catalog import schemas
from vitrin.catalog.api.common import Cursor, Limit, Reader, Writer, answer, filter_text, page_limit
from vitrin.catalog.api.upload import (
    MultipartFile,
    address_of,
    announced_by,
    body_of,
    is_address,
    is_multipart,
)
from vitrin.catalog.service_fetches import FetchService
from vitrin.catalog.service_imports import ImportService
from vitrin.catalog.service_uploads import UploadService
from vitrin.kit.access import Principal
from vitrin.kit.http import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.idempotency import HEADER_PARAMETER, once_of
from vitrin.kit.ids import ImportId
from vitrin.kit.outbound import OutboundFailure

router = APIRouter(prefix="/v1", tags=["imports"])
_ROW_NUMBER_MAX = 2**31 - 1


class RowOutcome(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    IMAGE = "image"


def _imports(request: Request) -> ImportService:
    service: ImportService = request.app.state.imports
    return service


@router.post(
    "/imports",
    status_code=202,
    summary="Upload a catalog file, or name its address",
    openapi_extra={**schemas.FILE_OR_ADDRESS, "parameters": [HEADER_PARAMETER]},
    responses={202: schemas.answer_of(schemas.IMPORT, "Staged; follow its state")},
)
async def create_import(
    request: Request,
    principal: Writer,
    format: Annotated[str, Query(description="shopify, woocommerce, common or auto.")] = "auto",  # noqa: A002
    file_name: Annotated[str, Query(description="Shown in lists.")] = "",
) -> Response:
    """The body is the file, or a multipart form with one file. It is applied only after its end was verified, and
    never removes what it does not name. `X-Content-SHA256` or `Content-Digest` are checked where they are
    sent; without them the last row must end in a line break, since nothing else proves that it was not cut off.

    Or the body is JSON and names where the file is: `{"url": "https://shop.example/feed.csv"}`, with `sha256`, `format`
    and `file_name` if you like. It is fetched in the background (state `fetching`, with `bytes` of `bytes_total`) and
    then goes on like an upload. The address has to be a public one that answers with status 200 and the file itself,
    plain or gzip, with its length or in chunks; up to 5 redirects are followed. What may go better is tried 4 times;
    then the import is `aborted`, and `problem` says why. The query of an address is not shown and not kept.

    UTF-8 CSV with commas. `shopify`: Shopify's product export; `woocommerce`: WooCommerce's own (Products, Export; with
    the column ID and English column names), whose rows of variable and grouped products are counted as `images`, since
    they are no items themselves. Prices of both are in the brand's currency. `common`: one item a
    row under the names of the product data specification. Needed: `id`, `title`, `price` (with its currency, `12.34
    EUR`). Known: `description`, `link`, `image_link`, `additional_image_link` (comma separated), `video_link`,
    `availability`, `quantity`, `inventory_policy`, `sale_price`, `sale_price_effective_date` (ISO 8601 from/to),
    `cost_of_goods_sold`, `brand`, `gtin`, `mpn`, `sku`, `condition`, `item_group_id`, `google_product_category`,
    `product_type`, `color`, `size`, `gender`, `age_group`, `material`, `pattern`, `status`, `shipping`, `checkout_url`,
    `custom_label_0` to `custom_label_4`. Any other column becomes an extra attribute."""
    if is_address(request):
        return await _create_fetch(request, principal, format_=format, file_name=file_name)
    uploads: UploadService = request.app.state.uploads
    announced = announced_by(request)
    filter_text("format", format)
    form = MultipartFile(request) if is_multipart(request) else None
    answers: list[Response] = []

    async def finish(import_id: ImportId, digest: bytes, stage: Callable[[], Awaitable[None]]) -> None:
        async def staged() -> Response:
            await stage()
            return answer(await _imports(request).get(principal.brand_id, import_id), 202)

        answers.append(await _once(request, digest, staged))

    await uploads.receive(
        principal.brand_id,
        principal.actor,
        body_of(request) if form is None else form.stream(),
        requested_format=format,
        file_name=lambda: file_name or (form.name if form is not None else ""),
        announced=announced,
        finish=finish,
    )
    return answers[0]


async def _create_fetch(request: Request, principal: Principal, *, format_: str, file_name: str) -> Response:
    fetches: FetchService = request.app.state.fetches
    address = await address_of(request)

    async def accepted() -> Response:
        try:
            import_id = await fetches.accept(
                principal.brand_id,
                principal.actor,
                url=address.url,
                requested_format=address.format or format_,
                file_name=address.file_name or filter_text("file_name", file_name) or "",
                sha256=address.sha256,
            )
        except OutboundFailure as refused:
            refused.field = "url"
            raise
        return answer(await _imports(request).get(principal.brand_id, import_id), 202)

    return await _once(request, repr(address).encode(), accepted)


async def _once(request: Request, content: bytes, work: Callable[[], Awaitable[Response]]) -> Response:
    """Under the request's idempotency key, if it has one; `content` stands for the body, which was read already."""
    named = await once_of(request)
    if named is None:
        return await work()
    once, call = named
    scope = request.scope
    fingerprint = call.sealer.fingerprint(scope["path"].encode(), scope["query_string"], content)
    return await once.run(call, fingerprint, work)


@router.get(
    "/imports",
    summary="List imports, the newest first",
    responses={200: schemas.answer_of(schemas.IMPORT_PAGE, "A page of imports")},
)
async def list_imports(
    request: Request, principal: Reader, limit: Limit = None, cursor: Cursor = None
) -> Response:
    position = decode_cursor(cursor, ("import",))
    try:
        before = None if position is None else ImportId(UUID(str(position["import"])))
    except ValueError:
        raise CursorInvalid("The cursor is not one of ours.", field="cursor") from None
    documents, more = await _imports(request).page(
        principal.brand_id, before=before, limit=page_limit(request, limit)
    )
    next_cursor = None if more is None else encode_cursor({"import": str(more)})
    return answer({"data": documents, "next_cursor": next_cursor})


@router.get(
    "/imports/{import_id}",
    summary="State and progress of an import",
    responses={200: schemas.answer_of(schemas.IMPORT, "The import")},
)
async def get_import(request: Request, principal: Reader, import_id: UUID) -> Response:
    return answer(await _imports(request).get(principal.brand_id, ImportId(import_id)))


@router.get(
    "/imports/{import_id}/rows",
    summary="Report per row",
    responses={200: schemas.answer_of(schemas.IMPORT_ROWS, "A page of rows")},
)
async def list_import_rows(
    request: Request,
    principal: Reader,
    import_id: UUID,
    *,
    outcome: RowOutcome | None = None,
    item_id: Annotated[str | None, Query(max_length=100, description="Only rows of this item.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    position = decode_cursor(cursor, ("row",))
    after = 0 if position is None else position["row"]
    if not isinstance(after, int) or not 0 <= after <= _ROW_NUMBER_MAX:
        raise CursorInvalid("The cursor is not one of ours.", field="cursor")
    documents, more = await _imports(request).rows(
        principal.brand_id,
        ImportId(import_id),
        outcome=None if outcome is None else str(outcome),
        item_id=filter_text("item_id", item_id),
        after=after,
        limit=page_limit(request, limit),
    )
    next_cursor = None if more is None else encode_cursor({"row": more})
    return answer({"data": documents, "next_cursor": next_cursor})
