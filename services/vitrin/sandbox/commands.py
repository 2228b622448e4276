"""What all commands of the sandbox share: reading a body, answering, and refusing with what to do."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

BODY_BYTES_MAX = 1_000_000

Model = TypeVar("Model", bound=BaseModel)
Endpoint = Callable[[Request], Awaitable[Response]]
PlatformName = Literal["meta", "pinterest"]


class ControlRefusal(Exception):
    """A command that the sandbox does not take."""

    def __init__(self, status: int, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field


def answer(body: Any, status: int = 200) -> Response:
    """JSON."""
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")


async def read_body(request: Request, model: type[Model]) -> Model:
    """The command's body. Raises ``ControlRefusal`` that names the first field at fault."""
    raw = await request.body()
    if len(raw) > BODY_BYTES_MAX:
        raise ControlRefusal(400, "body_too_large", f"at most {BODY_BYTES_MAX} bytes")
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"there is no such field; there are {', '.join(model.model_fields)}"
        raise ControlRefusal(400, "invalid", message, field=field) from error


def number(request: Request, name: str, *, default: int, max_value: int | None = None) -> int:
    """A whole number of the query."""
    value = request.query_params.get(name, str(default))
    if not value.isdecimal():
        raise ControlRefusal(400, "invalid", "must be a whole number of 0 or more", field=name)
    return min(int(value), max_value) if max_value is not None else int(value)


def refusing(endpoint: Endpoint) -> Endpoint:
    """The endpoint with its refusals as answers."""

    async def run(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ControlRefusal as refusal:
            error = {"code": refusal.code, "field": refusal.field, "message": refusal.message}
            return answer({"error": error}, refusal.status)

    return run
