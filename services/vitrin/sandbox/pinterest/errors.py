"""Pinterest's error bodies: ``{"code": int, "message": str}``.

Codes 1, 2, 5, 29, 678 and 4331 stand in the OpenAPI 5.23; 8, 4196 and 4197 in Pinterest's error reference.
"""

from dataclasses import dataclass, field
from typing import Any

from vitrin.sandbox.wire import Reply


@dataclass(frozen=True, slots=True)
class ApiError(Exception):
    """An error that Pinterest answers with."""

    status: int
    code: int
    message: str
    outcome: str = "refused"
    extra: dict[str, Any] = field(default_factory=dict)

    def reply(self) -> Reply:
        """The error as the wire carries it."""
        body = {**self.extra, "code": self.code, "message": self.message}
        return Reply(self.status, body, outcome=self.outcome, error_code=self.code)


def invalid_request(reason: str) -> ApiError:
    """400, code 1. The platform repeats the whole body before the reason; here it is left out."""
    return ApiError(400, 1, f"Invalid request: ({reason})")


NOT_PERMITTED = "You are not permitted to access that resource."

NAMED: dict[str, ApiError] = {
    "throttle": ApiError(429, 8, "You have exceeded your rate limit. Try again later.", outcome="throttled"),
    "auth": ApiError(401, 2, "Authentication failed.", outcome="auth"),
    "permission": ApiError(403, 29, NOT_PERMITTED),
    "catalog_missing": ApiError(
        404, 678, "Sorry! We couldn't find that catalog. Please ensure you have access to a valid catalog id."
    ),
    "audience_missing": ApiError(404, 50, "Sorry! We could not find that audience."),
    "batch_missing": ApiError(404, 4331, "Sorry! We could not find your batch ID."),
    "not_found": ApiError(404, 0, "Not Found"),
    "method": ApiError(
        405,
        5,
        "Method not allowed",
        extra={
            "status": "failure",
            "data": "405 Method Not Allowed: The method is not allowed for the requested URL.",
            "endpoint_name": None,
        },
    ),
    "too_large": ApiError(413, 1, "Request entity too large"),
    "transient": ApiError(
        503, 4197, "Service temporarily unavailable. Please try again later.", outcome="error"
    ),
    "unavailable": ApiError(
        503, 4197, "Service temporarily unavailable. Please try again later.", outcome="error"
    ),
    "unknown": ApiError(500, 11, "Something went wrong on our end. Sorry about that.", outcome="error"),
    "invalid": ApiError(400, 4196, "Invalid request."),
}
