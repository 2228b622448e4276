"""Reads request bodies: up to the platform's cap, and their form fields."""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from urllib.parse import parse_qsl

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

FORM_FIELDS_MAX = 200


async def read_capped(request: Request, *, bytes_max: int) -> tuple[bytes | None, int]:
    """The body, or None when it is larger than the cap; the rest is then read and thrown away."""
    parts: list[bytes] = []
    size = 0
    with suppress(ClientDisconnect):
        async for part in request.stream():
            size += len(part)
            if size <= bytes_max:
                parts.append(part)
            else:
                parts.clear()
    return (b"".join(parts) if size <= bytes_max else None), size


async def form_fields(headers: Mapping[str, str], body: bytes | None) -> dict[str, str] | None:
    """The fields of a form-encoded or multipart body, None for any other."""
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body:
        return None
    if content_type == "application/x-www-form-urlencoded":
        pairs = parse_qsl(
            body.decode(errors="replace"), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX
        )
        return dict(pairs)
    if content_type != "multipart/form-data":
        return None

    async def stream() -> AsyncIterator[bytes]:
        yield body

    parser = MultiPartParser(
        headers,  # type: ignore[arg-type]
        stream(),  # type: ignore[arg-type]
        max_fields=FORM_FIELDS_MAX,
        max_part_size=len(body),
    )
    try:
        parsed = await parser.parse()
    except MultiPartException:
        return {}
    return {name: value for name, value in parsed.multi_items() if isinstance(value, str)}
