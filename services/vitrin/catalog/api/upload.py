"""The body of an upload as a stream of the file's bytes: raw, or the one file of a multipart form."""

import base64
import binascii
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from email.message import Message
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from starlette.requests import ClientDisconnect, Request

from vitrin.catalog.errors import BodyMalformed, UploadIncomplete
from vitrin.catalog.requests import json_object
from vitrin.catalog.service_uploads import Announced

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

SHA256_BYTES: Final = 32
PART_HEADER_BYTES_MAX: Final = 8 * 1024
ADDRESS_BYTES_MAX: Final = 16 * 1024
_ADDRESS_FIX: Final = (
    'Send {"url": "https://shop.example/feed.csv"}, with "sha256", "format" or "file_name" if you like.'
)
_MULTIPART: Final = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a file is to be fetched from, and what was said of it."""

    url: str
    sha256: bytes | None
    format: str | None
    file_name: str | None


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """Raises UploadIncomplete when the client goes away before the end."""
    try:
        async for part in request.stream():
            if part:
                yield part
    except ClientDisconnect:
        raise UploadIncomplete("The connection ended before the file did.") from None


def is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith(_MULTIPART)


def announced_by(request: Request) -> Announced:
    """Content-Length (of a raw body) and the file's SHA-256. Raises BodyMalformed for a digest that is none."""
    length = request.headers.get("content-length")
    counted = int(length) if length and length.isdigit() and not is_multipart(request) else None
    return Announced(size_bytes=counted, sha256=_digest(request))


def _digest(request: Request) -> bytes | None:
    """`X-Content-SHA256: <hex>` or `Content-Digest: sha-256=:<base64>:` (RFC 9530; other algorithms are ignored)."""
    text, digest_field = request.headers.get("x-content-sha256"), request.headers.get("content-digest")
    try:
        if text is not None:
            digest = bytes.fromhex(text)
        elif digest_field is not None:
            found = [
                one.strip()[9:-1] for one in digest_field.split(",") if one.strip().startswith("sha-256=:")
            ]
            if not found:
                return None
            digest = base64.b64decode(found[0], validate=True)
        else:
            return None
    except (ValueError, binascii.Error):
        digest = b""
    if len(digest) != SHA256_BYTES:
        raise BodyMalformed(
            "The announced digest is not a SHA-256.",
            field="X-Content-SHA256" if text is not None else "Content-Digest",
            fix="Send 64 hexadecimal digits as X-Content-SHA256, or Content-Digest: sha-256=:<base64>:.",
        )
    return digest


def is_address(request: Request) -> bool:
    """A file is never JSON, so JSON says where one is."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower() == "application/json"


async def address_of(request: Request) -> Address:
    """`{"url": ..., "sha256": ..., "format": ..., "file_name": ...}`. Raises BodyMalformed, UploadIncomplete."""
    body = bytearray()
    async for part in body_of(request):
        body += part
        if len(body) > ADDRESS_BYTES_MAX:
            raise BodyMalformed(f"The body has more than {ADDRESS_BYTES_MAX} bytes.", fix=_ADDRESS_FIX)
    document = json_object(bytes(body))
    unknown = sorted(set(document) - {"url", "sha256", "format", "file_name"})
    wrong = [name for name in document if not isinstance(document[name], str) or "\x00" in document[name]]
    for name in (*unknown, *wrong):
        message = "there is no such field" if name in unknown else "is no text"
        raise BodyMalformed(f"{name[:100]}: {message}.", field=name[:100], fix=_ADDRESS_FIX)
    if not document.get("url"):
        raise BodyMalformed("url: there is none.", field="url", fix=_ADDRESS_FIX)
    digest: bytes | None = None
    if "sha256" in document:
        try:
            digest = bytes.fromhex(document["sha256"])
        except ValueError:
            digest = b""
        if len(digest) != SHA256_BYTES:
            raise BodyMalformed(
                "sha256 is not a SHA-256.", field="sha256", fix="Send 64 hexadecimal digits, or leave it out."
            )
    return Address(document["url"], digest, document.get("format"), document.get("file_name"))


class MultipartFile:
    """The first file of a form, as a stream; fields without a file name are skipped. The closing boundary proves
    the end. Raises BodyMalformed, UploadIncomplete."""

    def __init__(self, request: Request) -> None:
        self.name = ""
        self._parts: list[bytes] = []
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._in_file = self._found = self._ended = False
        self._parser = MultipartParser(_boundary(request), self._callbacks())
        self._body: AsyncIterable[bytes] = body_of(request)

    async def stream(self) -> AsyncIterator[bytes]:
        async for data in self._body:
            try:
                self._parser.write(data)
            except FormParserError:
                raise BodyMalformed("The multipart form cannot be read.", fix=_FIX) from None
            for part in self._parts:
                yield part
            self._parts.clear()
        if not self._ended:
            raise UploadIncomplete("The form ends before its closing boundary.")
        if not self._found:
            raise BodyMalformed("The form has no file.", field="file", fix=_FIX)

    def _callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._part_begin,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_header_field": lambda data, start, end: self._collect(self._header, data[start:end]),
            "on_header_value": lambda data, start, end: self._collect(self._value, data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_end": self._end,
        }

    def _collect(self, buffer: bytearray, data: bytes) -> None:
        if len(buffer) + len(data) > PART_HEADER_BYTES_MAX:
            raise BodyMalformed("A header of the form is too long.", fix=_FIX)
        buffer += data

    def _part_begin(self) -> None:
        self._headers = {}

    def _header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        message = Message()
        message["content-disposition"] = self._headers.get(b"content-disposition", b"").decode(
            "utf-8", "replace"
        )
        name = message.get_filename()
        if name is not None and not self._found:
            self._in_file = self._found = True
            self.name = name

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._parts.append(data[start:end])

    def _part_end(self) -> None:
        self._in_file = False

    def _end(self) -> None:
        self._ended = True


_FIX: Final = "Send the file as the body, or as one file of a multipart/form-data form."


def _boundary(request: Request) -> bytes:
    message = Message()
    message["content-type"] = request.headers.get("content-type", "")
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise BodyMalformed("The form names no boundary.", field="Content-Type", fix=_FIX)
    try:
        return boundary.encode("ascii")
    except UnicodeEncodeError:
        raise BodyMalformed("The form's boundary is not ASCII.", field="Content-Type", fix=_FIX) from None
