"""Carrying a call out once: the work and its answer are saved in one transaction, or neither is.

    the key is new                    the work is done; its answer is stored if the work was
    known, the same request           the stored answer
    known, another request            422 `idempotency_key_reused`
    the first call is still at work   409 `idempotency_in_progress`, Retry-After 1

The semantics are Stripe's (docs.stripe.com/api/idempotent_requests), with one difference: a refusal is not stored.
It changed nothing, so the repeated call is decided anew, and what was refused for a reason that is gone succeeds.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Row
from starlette.responses import Response

from vitrin.kit import metrics
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.repeat import repeated
from vitrin.kit.errors import Conflict, Malformed, Refused
from vitrin.kit.idempotency import store
from vitrin.kit.idempotency.sealing import Sealer
from vitrin.kit.ids import BrandId, KeyId

KEEP: Final = timedelta(hours=24)
NAME_CHARS_MAX: Final = 255
REPLAYED: Final = "Idempotent-Replayed"
RETRY_AFTER_S: Final = 1
_NAME: Final = re.compile(rf"[\x21-\x7e]{{1,{NAME_CHARS_MAX}}}")

CALLS = metrics.counter(
    "vitrin_http_idempotency_total",
    "Calls with an idempotency key: stored (the first one), replayed, reused (for another request), in_progress.",
    ("outcome",),
)


class IdempotencyKeyInvalid(Refused):
    code, title = "idempotency_key_invalid", "The header Idempotency-Key cannot be used"
    fix = (
        f"Send 1 to {NAME_CHARS_MAX} visible ASCII characters, such as a new UUID for each thing to be done."
    )


class IdempotencyKeyReused(Malformed):
    code, title = "idempotency_key_reused", "This idempotency key was used for another request"
    fix = "Repeat a request with exactly the same path and body, and take a new key for another request."


class IdempotencyInProgress(Conflict):
    code, title = "idempotency_in_progress", "The first request with this idempotency key is still at work"
    fix = "Repeat it in a second; its answer will be the first one's."


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request under an idempotency key. The key belongs to the API key that sent it."""

    brand: BrandId
    key_id: KeyId
    name: str
    sealer: Sealer = field(repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise IdempotencyKeyInvalid(
                f"It has {len(self.name)} characters, or some that are not visible ASCII.",
                field="Idempotency-Key",
            )


class Once:
    def __init__(self, database: AppDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def known(self, call: Call) -> bool:
        """Whether an answer is stored; for those who would rather not do expensive preparations in vain."""
        async with self._database.read(call.brand) as session:
            return await self._find(session, call) is not None

    async def run(self, call: Call, fingerprint: bytes, work: Callable[[], Awaitable[Response]]) -> Response:
        """`work` runs inside one transaction: whatever it reads and writes of the brand is part of that.

        Raises IdempotencyKeyReused, IdempotencyInProgress, and what `work` raises, which then has changed nothing.
        """

        async def attempt() -> Response:
            async with self._database.whole(call.brand) as tx:
                if not await store.claim(tx, call.brand, call.key_id, call.name):
                    CALLS.labels("in_progress").inc()
                    raise IdempotencyInProgress(field="Idempotency-Key", retry_after_s=RETRY_AFTER_S)
                found = await self._find(tx, call)
                if found is not None:
                    return _replayed(call, found, fingerprint)
                answer = await work()
                if 200 <= answer.status_code < 300:
                    row = {
                        "created_at": self._clock(),
                        "fingerprint": fingerprint,
                        "status": answer.status_code,
                        "media_type": answer.headers.get("content-type", ""),
                        "answer": call.sealer.seal(bytes(answer.body), call.name),
                    }
                    await store.save(tx, call.brand, call.key_id, call.name, row)
                    tx.after_commit(CALLS.labels("stored").inc)
                return answer

        return await repeated(attempt)

    async def _find(self, session: Any, call: Call) -> Row[Any] | None:
        return await store.find(session, call.brand, call.key_id, call.name, now=self._clock(), keep=KEEP)


def _replayed(call: Call, found: Row[Any], fingerprint: bytes) -> Response:
    if bytes(found.fingerprint) != fingerprint:
        CALLS.labels("reused").inc()
        raise IdempotencyKeyReused(field="Idempotency-Key")
    CALLS.labels("replayed").inc()
    body = call.sealer.open(bytes(found.answer), call.name)
    headers = {REPLAYED: "true"} | ({"content-type": found.media_type} if found.media_type else {})
    return Response(body, status_code=found.status, headers=headers)
