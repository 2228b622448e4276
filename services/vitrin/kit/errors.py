"""The one tree of errors that reach a client. HTTP and gRPC both answer from these attributes.

    VitrinError
      Refused          400  the request was understood and its meaning is refused
      Unauthenticated  401
      Forbidden        403
      NotFound         404  also for everything that belongs to another brand
      Conflict         409
      TooLarge         413
        EventTooLarge       a change that no record can carry
      Malformed        422  the request could not be read
      TooMany          429  `retry_after_s` in `extra` becomes the Retry-After header
      Unavailable      503
        CatchingUp          of readiness only: how far a replica is

A service derives its own classes in `<service>/errors.py` and gives each a stable `code`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field: where, a stable code, what was wrong and what to do."""

    field: str
    code: str
    message: str
    fix: str = ""


class VitrinError(Exception):
    """Root of the tree. `extra` becomes members of the problem document, so it must be JSON and no secret."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"
    fix: str = ""

    def __init__(
        self,
        detail: str = "",
        *,
        field: str | None = None,
        fix: str | None = None,
        errors: Sequence[FieldError] = (),
        **extra: object,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.field = field
        if fix is not None:
            self.fix = fix
        self.errors = tuple(errors)
        self.extra = extra


class Refused(VitrinError):
    code, status, title = "refused", 400, "The request was refused"


class Unauthenticated(VitrinError):
    code, status, title = "unauthenticated", 401, "The request carries no valid key"
    fix = "Send the header 'Authorization: Bearer vk_...' with a key of your brand."


class Forbidden(VitrinError):
    code, status, title = "forbidden", 403, "The key may not do this"


class NotFound(VitrinError):
    code, status, title = "not_found", 404, "There is no such thing"
    fix = "Check the id, and that the key belongs to the same brand."


class Conflict(VitrinError):
    code, status, title = "conflict", 409, "The request conflicts with what is there"


class TooLarge(VitrinError):
    code, status, title = "body_too_large", 413, "The request body is too large"


class EventTooLarge(TooLarge):
    code, title = "event_too_large", "The change is too large to be published"
    fix = "Send shorter texts, or fewer of them. Nothing was changed."


class Malformed(VitrinError):
    code, status, title = "malformed", 422, "The request could not be read"


class TooMany(VitrinError):
    code, status, title = "too_many", 429, "Too many requests"


class Unavailable(VitrinError):
    code, status, title = "unavailable", 503, "The service cannot answer at the moment"
    fix = "Try again in a few seconds."


class CatchingUp(Unavailable):
    """Not ready yet, and how far it is: `read` records since the process began, of those that bring it nearer
    to that; `left` of those that are known of, None where nobody knows."""

    def __init__(self, detail: str, *, read: int, left: int | None) -> None:
        super().__init__(detail)
        self.read = read
        self.left = left
