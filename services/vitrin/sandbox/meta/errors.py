"""Meta's error bodies, by code. Source: Graph API error reference and the catalog pages of the Marketing API."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from vitrin.sandbox.wire import Call, Reply


@dataclass(frozen=True, slots=True)
class GraphError(Exception):
    """An error that Meta answers with.

    HTTP is 400 for nearly everything, throttles included; ``blame`` names the parameters at fault.
    """

    code: int
    message: str
    status: int = 400
    error_type: str = "OAuthException"
    subcode: int | None = None
    is_transient: bool = False
    blame: tuple[str, ...] = ()
    user_title: str | None = None
    user_message: str | None = None
    outcome: str = "refused"

    def reply(self, call: Call) -> Reply:
        """The error as the wire carries it; ``fbtrace_id`` is derived from the request."""
        trace = blake2b(f"{call.received_ms}{call.method}{call.path}".encode(), digest_size=9).hexdigest()
        error: dict[str, Any] = {"message": self.message, "type": self.error_type, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        error["is_transient"] = self.is_transient
        if self.user_title is not None:
            error["error_user_title"] = self.user_title
        if self.user_message is not None:
            error["error_user_msg"] = self.user_message
        if self.blame:
            error["error_data"] = {"blame_field_specs": [[name] for name in self.blame]}
        error["fbtrace_id"] = f"A{trace}"
        headers = (
            {"WWW-Authenticate": 'OAuth "Facebook Platform" "invalid_token"'} if self.code == 190 else {}
        )
        return Reply(self.status, {"error": error}, headers, outcome=self.outcome, error_code=self.code)


def invalid_parameter(message: str, *blame: str) -> GraphError:
    """Code 100."""
    return GraphError(100, f"(#100) {message}", blame=blame)


def missing_object(object_id: str, *, method: str) -> GraphError:
    """Code 100, subcode 33: it is not there, or not for this token."""
    return GraphError(
        100,
        f"Unsupported {method.lower()} request. Object with ID '{object_id}' does not exist, cannot be loaded due "
        "to missing permissions, or does not support this operation. Please read the Graph API documentation at "
        "https://developers.facebook.com/docs/graph-api",
        error_type="GraphMethodException",
        subcode=33,
    )


def unknown_path(path: str) -> GraphError:
    """Code 2500."""
    return GraphError(2500, f"Unknown path components: /{path}")


NAMED: dict[str, GraphError] = {
    "throttle": GraphError(
        80014,
        "(#80014) There have been too many calls for the batch uploads to this catalog account. Wait a bit and try "
        "again. For more info, please refer to "
        "https://developers.facebook.com/docs/graph-api/overview/rate-limiting#catalog.",
        outcome="throttled",
    ),
    "throttle_management": GraphError(
        80009,
        "(#80009) There have been too many calls to this Catalog account. Wait a bit and try again. For more info, "
        "please refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting.",
        outcome="throttled",
    ),
    "throttle_audience": GraphError(
        80003,
        "(#80003) There have been too many calls to this Custom Audience account. Wait a bit and try again. For more "
        "info, please refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting.",
        outcome="throttled",
    ),
    "audience_too_small": GraphError(
        200,
        "Permissions error",
        status=403,
        subcode=1870047,
        user_title="Audience Size too Low",
        user_message="You cannot remove users from this audience because it will result in a low audience size.",
    ),
    "audience_flagged": GraphError(
        100,
        "Invalid parameter",
        subcode=1713230,
        user_title="Audience Upload Blocked",
        user_message="Before updating user memberships, you must resolve integrity restrictions on this audience.",
    ),
    "audience_update_failed": GraphError(2650, "(#2650) Failed to update the custom audience"),
    "terms": GraphError(2655, "(#2655) Terms of service has not been accepted."),
    "event_too_old": GraphError(
        100,
        "Invalid parameter",
        subcode=2804003,
        user_title="Event Timestamp Too Old",
        user_message="The timestamp for this event is too far in the past.",
    ),
    "purchase_without_value": GraphError(
        100,
        "Invalid parameter",
        subcode=2804009,
        user_title="Missing Value or Currency",
        user_message="A purchase event needs value and currency.",
    ),
    "throttle_app": GraphError(4, "(#4) Application request limit reached", outcome="throttled"),
    "throttle_user": GraphError(17, "(#17) User request limit reached", subcode=2446079, outcome="throttled"),
    "throttle_custom": GraphError(
        613, "(#613) Calls to this api have exceeded the rate limit.", subcode=1487742, outcome="throttled"
    ),
    "auth": GraphError(
        190,
        "Error validating access token: Session has expired. The current time is after the session's expiry.",
        status=401,
        subcode=463,
        outcome="auth",
    ),
    "auth_removed": GraphError(
        190,
        "Error validating access token: The user has not authorized application.",
        subcode=458,
        outcome="auth",
    ),
    "auth_invalid": GraphError(
        190, "Invalid OAuth access token - Cannot parse access token", subcode=467, outcome="auth"
    ),
    "auth_missing": GraphError(104, "An access token is required to request this resource.", outcome="auth"),
    "permission": GraphError(200, "(#200) Permissions error", status=403),
    "permission_app": GraphError(
        10, "(#10) Application does not have permission for this action", status=403
    ),
    "appsecret": GraphError(
        100, "Invalid appsecret_proof provided in the API argument", error_type="GraphMethodException"
    ),
    "unavailable": GraphError(
        2, "Service temporarily unavailable", status=503, is_transient=True, outcome="error"
    ),
    "transient": GraphError(
        2,
        "An unexpected error has occurred. Please retry your request later.",
        status=500,
        is_transient=True,
        outcome="error",
    ),
    "unknown": GraphError(
        1, "An unknown error has occurred.", status=500, is_transient=True, outcome="error"
    ),
    "reduce_data": GraphError(
        1, "Please reduce the amount of data you're asking for, then retry your request", status=500
    ),
    "blocked": GraphError(
        368, "The action attempted has been deemed abusive or is otherwise disallowed", subcode=1390008
    ),
    "invalid": invalid_parameter("Invalid parameter"),
}

THROTTLES = {error.code: error for error in NAMED.values() if error.outcome == "throttled"}
"""The refusals of calls too many, by code."""
