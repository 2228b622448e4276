"""Calling Shopify for one connection: GraphQL, and the storage that holds bulk results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

from vitrin.kit.delivery.rate import Usage
from vitrin.kit.http_client import Call, PlatformHttp
from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.calling import answered, by_status, replied
from vitrin.platforms.shop_bodies import Part
from vitrin.platforms.shop_calls import load_gone
from vitrin.platforms.shopify import errors
from vitrin.platforms.shopify.rules import API_VERSION, CONCURRENCY_MAX, GRAPHQL, NAME, RESULT

GONE_STATUSES = frozenset({400, 403, 404, 410})
"""Of a signed address whose time is over, or whose file is."""
WINDOW_MAX_BYTES = 64 * 1024 * 1024


class _Reading:
    """Classifies one answer, and keeps what it says of the bucket, which stands in the body."""

    def __init__(self) -> None:
        self._usage: Usage | None = None

    def classify(
        self, status: int, headers: Mapping[str, str], body: object | None
    ) -> PlatformFailure | None:
        failure = errors.classify(status, headers, body)
        drawn = errors.used_share(body)
        if drawn is not None:
            share, step = drawn
            self._usage = Usage(
                share=share, step=step, regain_s=failure.retry_after_s if failure is not None else None
            )
        return failure

    def usage(self, headers: Mapping[str, str]) -> Usage | None:
        return self._usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopifyCalls:
    http: PlatformHttp
    base_url: str
    shop: str
    access_token: str = field(repr=False)
    brand: str = ""

    async def ask(
        self, document: str, variables: Mapping[str, object] | None = None, *, safe: bool = True
    ) -> Part:
        """The `data` of an answer without errors."""
        call = Call(
            platform=NAME,
            account=self.shop,
            rate=GRAPHQL,
            method="POST",
            url=f"{self.base_url}/admin/api/{API_VERSION}/graphql.json",
            safe=safe,
            brand=self.brand,
            concurrency_max=CONCURRENCY_MAX,
            headers={"x-shopify-access-token": self.access_token, "content-type": "application/json"},
            content=orjson.dumps({"query": document, "variables": variables or {}}),
        )
        reading = _Reading()
        answer: Any = await answered(self.http, call, classify=reading.classify, usage=reading.usage)
        return Part(answer, "$").part("data")

    async def window(self, url: str, start: int, size_bytes: int) -> tuple[bytes, bool]:
        """Bytes of a bulk result from `start`, and whether they are its last. Without our token: the address is of
        another host and carries its own right. PlatformFailure `load_gone`."""
        if self.base_url.startswith("https://") and urlsplit(url).scheme != "https":
            raise PlatformFailure(
                FailureKind.INVALID_REQUEST,
                code="unreadable_answer",
                message="the result of the bulk operation is not at an https address",
            )
        call = Call(
            platform=NAME,
            account=self.shop,
            rate=RESULT,
            method="GET",
            url=url,
            safe=True,
            brand=self.brand,
            headers={"range": f"bytes={start}-{start + size_bytes - 1}", "accept-encoding": "identity"},
            reply_bytes_max=WINDOW_MAX_BYTES,
        )
        reply = await replied(self.http, call, classify=_of_storage)
        if reply.status == 416:
            return b"", True
        if reply.status != 206:
            # Storage that cuts nothing sends all of it: small results only, the rest is too large a reply.
            return reply.body[start : start + size_bytes], start + size_bytes >= len(reply.body)
        whole = reply.headers.get("content-range", "").rpartition("/")[2]
        if not whole.isascii() or not whole.isdigit():
            return reply.body, len(reply.body) < size_bytes
        return reply.body, start + len(reply.body) >= int(whole)


def _of_storage(status: int, headers: Mapping[str, str], body: object | None) -> PlatformFailure | None:
    if status == 416:
        return None
    return load_gone("Shopify") if status in GONE_STATUSES else by_status(status, headers)


def refused(payload: Part) -> PlatformFailure | None:
    """`userErrors` of a mutation: the call was understood, and refused."""
    rows = list(payload.parts("userErrors"))
    if not rows:
        return None
    words = "; ".join(row.text("message") for row in rows)
    return PlatformFailure(
        FailureKind.INVALID_REQUEST,
        code="refused",
        message=words[: errors.MESSAGE_CHARS_MAX],
        fix="Follow what Shopify says.",
        platform_code=rows[0].text("code"),
    )
