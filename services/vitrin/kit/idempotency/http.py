"""The header at the door: `APIRouter(route_class=IdempotentRoute)` takes it on every POST of an API key's holder."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from vitrin.kit.access.http import api_key_of, caller_of
from vitrin.kit.idempotency.once import KEEP, NAME_CHARS_MAX, Call, Once
from vitrin.kit.idempotency.sealing import Sealer
from vitrin.kit.ops.access import operator_only

HEADER: Final = "Idempotency-Key"
HEADER_PARAMETER: Final[dict[str, Any]] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A name for this one thing to be done, such as a new UUID. Within"
    f" {KEEP.total_seconds() / 3600:.0f} h the same request with the same key is not carried out again but answered"
    " with the first answer and `Idempotent-Replayed: true`; another request is refused (422"
    " `idempotency_key_reused`), one at the same time too (409 `idempotency_in_progress`). Refusals are not stored."
    " The key belongs to the API key that sent it.",
    "schema": {"type": "string", "minLength": 1, "maxLength": NAME_CHARS_MAX},
}


async def once_of(request: Request) -> tuple[Once, Call] | None:
    """For a route that carries its work out itself; None without the header. Raises what authentication raises, and
    IdempotencyKeyInvalid."""
    name, token = request.headers.get(HEADER), api_key_of(request)
    if name is None or token is None:
        return None
    caller = await caller_of(request, token)
    once: Once = request.app.state.once
    return once, Call(brand=caller.brand_id, key_id=caller.key_id, name=name, sealer=Sealer(token))


class IdempotentRoute(APIRoute):
    """The whole body is read before the work, and everything that the work does is one transaction.

    Who may do it is asked by the route's own policy on the first call. A repeated one needs the same API key to be good
    still, and tells it nothing but what it was told then, whatever a person's role has become since.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self._takes_the_header():
            extra = self.openapi_extra or {}
            others = [one for one in extra.get("parameters", []) if one is not HEADER_PARAMETER]
            self.openapi_extra = {**extra, "parameters": [*others, HEADER_PARAMETER]}

    def _takes_the_header(self) -> bool:
        asked = [one.dependency for one in self.dependencies]
        return "POST" in (self.methods or ()) and operator_only not in asked

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if not self._takes_the_header():
            return handle

        async def handle_once(request: Request) -> Response:
            found = await once_of(request)
            if found is None:
                return await handle(request)
            once, call = found
            scope = request.scope
            fingerprint = call.sealer.fingerprint(
                scope["path"].encode(), scope["query_string"], await request.body()
            )
            return await once.run(call, fingerprint, lambda: handle(request))

        return handle_once
