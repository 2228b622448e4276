"""Access policy in an endpoint's signature: `principal: Principal = Depends(require("catalog:write"))`."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from vitrin.kit.access.directory import KeyDirectory
from vitrin.kit.access.errors import KeyMissing, ScopeMissing, TestKeyOnLiveBrand
from vitrin.kit.access.principal import Principal
from vitrin.kit.access.scopes import SCOPES
from vitrin.kit.access.tokens import looks_like_a_key
from vitrin.kit.access.uses import KeyUses
from vitrin.kit.http.rate_limit import charge

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    description="An API key: vk_<live|test>_<id>_<secret>. Publishable keys begin with pk_.",
)
_CALLER = "vitrin.caller"
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def caller_of(request: Request, token: str) -> Principal:
    """Checked and counted once per request, whoever asks first. Raises Unauthenticated, RateLimited."""
    known: Principal | None = request.scope.get(_CALLER)
    if known is not None:
        return known
    directory: KeyDirectory = request.app.state.access
    caller = await directory.authenticate(token)
    charge(request.scope, request.app.state.quota, caller.key_id, time.monotonic())
    uses: KeyUses | None = getattr(request.app.state, "key_uses", None)
    if uses is not None:
        uses.note(caller)
    structlog.contextvars.bind_contextvars(brand=str(caller.brand_id), key=caller.key_id)
    request.scope[_CALLER] = caller
    return caller


def api_key_of(request: Request) -> str | None:
    """What the request shows as its API key, checked by nobody yet; None where it shows another kind of token."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" and looks_like_a_key(token) else None


def require(scope: str) -> Callable[..., Awaitable[Principal]]:
    """The dependency that lets keys with `scope` through and gives the route its Principal.

    A test key changes nothing of a brand that has a live connection; accounts' own routes filter by mode instead.
    """
    if scope not in SCOPES:
        raise ValueError(f"unknown scope {scope!r}")
    guards_live = scope.endswith((":write", ":approve")) and not scope.startswith("accounts:")

    async def principal(request: Request, credentials: Credentials) -> Principal:
        if credentials is None:
            raise KeyMissing
        caller = await caller_of(request, credentials.credentials)
        if scope not in caller.scopes:
            raise ScopeMissing(
                f"This key has no scope {scope!r}; it has {', '.join(sorted(caller.scopes)) or 'none'}.",
                fix=f"Use a key with the scope {scope!r}.",
                scope=scope,
            )
        if guards_live and caller.mode == "test" and caller.brand_has_live_connection:
            raise TestKeyOnLiveBrand
        return caller

    return principal
