"""The HTTP chassis: application factory, problem documents, limits, metrics, and the server."""

from vitrin.kit.http.app import create_app
from vitrin.kit.http.paging import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.http.server import serve

__all__ = ["CursorInvalid", "create_app", "decode_cursor", "encode_cursor", "serve"]
