"""Endpoint secrets at rest: sealed with AES-GCM, bound to their endpoint; shown once, when they are made."""

import os
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from vitrin.kit import webhook_signing as signing
from vitrin.kit.crypto import CannotOpen, Sealed, TokenCipher
from vitrin.kit.ids import new_uuid
from vitrin.kit.logs import get_logger

HINT_CHARS: Final = 4
_log = get_logger("vitrin.notify.secrets")


class Secrets:
    def __init__(self, cipher: TokenCipher) -> None:
        self._cipher = cipher

    def make(self, endpoint: UUID, now: datetime) -> tuple[str, dict[str, Any]]:
        """A fresh secret as its owner copies it, and its row."""
        text = signing.secret_text(os.urandom(signing.SECRET_BYTES))
        sealed = self._cipher.seal(text, endpoint.bytes)
        return text, {
            "secret_id": new_uuid(),
            "key_id": sealed.key_id,
            "nonce": sealed.nonce,
            "ciphertext": sealed.ciphertext,
            "hint": text[-HINT_CHARS:],
            "now": now,
        }

    def open_all(self, endpoint: UUID, rows: Iterable[Any]) -> tuple[str, ...]:
        """The newest first. One that cannot be opened (its key left the ring) is left out and logged; CannotOpen when
        none is left, since an unsigned webhook must not go out."""
        opened = []
        for row in rows:
            try:
                sealed = Sealed(row.key_id, bytes(row.nonce), bytes(row.ciphertext))
                opened.append(self._cipher.open(sealed, endpoint.bytes))
            except CannotOpen as reason:
                _log.error(
                    "secret_not_opened", endpoint=str(endpoint), secret=str(row.secret_id), reason=str(reason)
                )
        if not opened:
            raise CannotOpen(f"no secret of endpoint {endpoint} can be opened")
        return tuple(opened)
