"""Cursors of lists: opaque to clients, a small JSON object inside. A bad one is a 400 `cursor_invalid`."""

import base64
import binascii
from collections.abc import Collection, Mapping

import orjson

from vitrin.kit.errors import Refused

CURSOR_LENGTH_MAX = 1024


class CursorInvalid(Refused):
    code, title = "cursor_invalid", "The cursor cannot be used"
    fix = "Take 'next_cursor' of the page before as it is, or leave 'cursor' out to start again."


def encode_cursor(position: Mapping[str, str | int]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(dict(position))).decode().rstrip("=")


def decode_cursor(cursor: str | None, fields: Collection[str]) -> dict[str, str | int] | None:
    """None for no cursor. Raises CursorInvalid unless it holds exactly `fields`, as integers or texts without U+0000,
    which PostgreSQL refuses to compare with."""
    if cursor is None:
        return None
    if len(cursor) > CURSOR_LENGTH_MAX:
        raise CursorInvalid("The cursor is too long to be one of ours.", field="cursor")
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        position = orjson.loads(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeEncodeError, orjson.JSONDecodeError):
        raise CursorInvalid("The cursor is not one of ours.", field="cursor") from None
    known = isinstance(position, dict) and set(position) == set(fields)
    if not known or not all(map(_usable, position.values())):
        raise CursorInvalid("The cursor belongs to another list.", field="cursor")
    return dict(position)


def _usable(value: object) -> bool:
    return type(value) is int or (type(value) is str and "\x00" not in value)
