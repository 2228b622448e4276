"""Idempotency keys: a call that is repeated with the same key is carried out once and answered twice.

A router of `route_class=IdempotentRoute` takes the header on its POSTs; the application keeps an `Once` in its state
as `once`, and a migration of the service calls `install_idempotency`.
"""

from vitrin.kit.idempotency.http import HEADER_PARAMETER, IdempotentRoute, once_of
from vitrin.kit.idempotency.install import install_idempotency
from vitrin.kit.idempotency.once import Call, Once

__all__ = ["HEADER_PARAMETER", "Call", "IdempotentRoute", "Once", "install_idempotency", "once_of"]
