"""Parameters of a Graph call: from the query, a form with JSON values, or a JSON body."""

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from vitrin.sandbox.meta.errors import NAMED, invalid_parameter
from vitrin.sandbox.wire import Call

ALWAYS_ALLOWED = frozenset(
    {
        "access_token",
        "appsecret_proof",
        "appsecret_time",
        "fields",
        "format",
        "locale",
        "pretty",
        "debug",
        "suppress_http_code",
        "include_headers",
        "method",
        "summary",
        "limit",
        "after",
        "before",
        "date_format",
    }
)

TRUE, FALSE = frozenset({True, "true", "1"}), frozenset({False, "false", "0"})


def read_params(call: Call) -> dict[str, Any]:
    """Every parameter of the call; those of the body win. Raises ``GraphError`` for a body that is no JSON object."""
    params: dict[str, Any] = dict(call.query)
    if call.body is None:
        raise NAMED["reduce_data"]
    if call.form is not None:
        params.update(call.form)
    elif call.body:
        try:
            body = orjson.loads(call.body)
        except orjson.JSONDecodeError as error:
            raise invalid_parameter("The request body is not valid JSON") from error
        if not isinstance(body, dict):
            raise invalid_parameter("The request body must be a JSON object")
        params.update(body)
    return params


def access_token(call: Call, params: Mapping[str, Any]) -> str | None:
    """The token from ``Authorization`` (Bearer or OAuth) or from the parameters."""
    scheme, _, value = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() in ("bearer", "oauth") and value:
        return value.strip()
    token = params.get("access_token")
    return token if isinstance(token, str) and token else None


def refuse_unknown(params: Mapping[str, Any], allowed: Collection[str]) -> None:
    """Raise code 100 for parameters that the edge does not have."""
    unknown = sorted(name for name in params if name not in allowed and name not in ALWAYS_ALLOWED)
    if unknown:
        raise invalid_parameter(f"Unexpected parameter: {', '.join(unknown)}", *unknown)


def json_value(params: Mapping[str, Any], name: str) -> Any:
    """A complex parameter, which a form carries as JSON text."""
    value = params.get(name)
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise invalid_parameter(f"Param {name} must be valid JSON", name) from error


def boolean(params: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """A boolean as JSON or as a form writes it."""
    value = params.get(name, default)
    if isinstance(value, str):
        value = value.lower()
    if isinstance(value, bool | int | str):
        if value in TRUE:
            return True
        if value in FALSE:
            return False
    raise invalid_parameter(f"Param {name} must be a boolean", name)


def integer(params: Mapping[str, Any], name: str, *, default: int, min_value: int, max_value: int) -> int:
    """A whole number, clipped to ``max_value``; below ``min_value`` it is refused."""
    value = params.get(name, default)
    try:
        number = int(value)
    except (TypeError, ValueError) as error:
        raise invalid_parameter(f"Param {name} must be an integer", name) from error
    if number < min_value:
        raise invalid_parameter(f"Param {name} must be at least {min_value}", name)
    return min(number, max_value)


def choice(params: Mapping[str, Any], name: str, allowed: Collection[str]) -> str | None:
    """A value of an enum, or None when it is not given."""
    value = params.get(name)
    if value is None:
        return None
    if value not in allowed:
        raise invalid_parameter(f"Param {name} must be one of {{{', '.join(sorted(allowed))}}}", name)
    return str(value)


def field_names(
    params: Mapping[str, Any], *, allowed: Collection[str], default: tuple[str, ...], node: str
) -> tuple[str, ...]:
    """The ``fields`` asked for; an unknown one is an error, as on the platform."""
    value = params.get("fields")
    if value in (None, ""):
        return default
    names = value if isinstance(value, list) else str(value).split(",")
    wanted = tuple(str(name).strip() for name in names)
    for name in wanted:
        if name not in allowed:
            raise invalid_parameter(f"Tried accessing nonexisting field ({name}) on node type ({node})")
    return wanted
