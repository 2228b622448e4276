"""The operator: whoever knows VITRIN_OPERATOR_TOKEN. Sees every brand's messages, so no API key opens these doors."""

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from vitrin.kit.errors import Forbidden, Unauthenticated

_operator = HTTPBearer(
    auto_error=False, scheme_name="OperatorToken", description="The value of VITRIN_OPERATOR_TOKEN."
)


class OperatorTokenNotConfigured(Forbidden):
    code, title = "operator_token_not_configured", "This service has no operator token"
    fix = "Start it with VITRIN_OPERATOR_TOKEN (at least 16 characters) and send it as a bearer token."


class OperatorTokenWrong(Unauthenticated):
    code, title = "operator_token_wrong", "This needs the operator token"
    fix = "Send 'Authorization: Bearer <VITRIN_OPERATOR_TOKEN>' with the value that the service was started with."


async def operator_only(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_operator)]
) -> None:
    """In constant time. Without a configured token nobody gets through."""
    expected: str | None = request.app.state.operator_token
    if expected is None:
        raise OperatorTokenNotConfigured
    if given is None or not hmac.compare_digest(given.credentials.encode(), expected.encode()):
        raise OperatorTokenWrong
