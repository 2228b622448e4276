"""Errors of the catalog's doors.

Conflict   ItemExists
NotFound   ItemUnknown, ImportUnknown, ShopUnknown
Malformed  BodyMalformed, ItemInvalid, UploadIncomplete, FetchRefused (what an address answered)
TooMany    FetchesWaiting
Refused    BatchTooLarge, LocationUnknown, FormatUnknown, BrandUnprepared (503)
"""

from collections.abc import Sequence

from vitrin.catalog.domain import FieldProblem
from vitrin.kit.errors import Conflict, FieldError, Malformed, NotFound, Refused, TooMany, Unavailable


def field_errors(problems: Sequence[FieldProblem]) -> tuple[FieldError, ...]:
    return tuple(FieldError(one.field, one.code, one.message, one.fix) for one in problems)


class ItemExists(Conflict):
    code, title = "item_exists", "There is already an item with this id"
    fix = "Change it with PATCH /v1/items/{id}, or use POST /v1/items:batch, which creates or changes."


class ItemUnknown(NotFound):
    code, title = "item_unknown", "There is no item with this id"


class ImportUnknown(NotFound):
    code, title = "import_unknown", "There is no import with this id"


class ShopUnknown(NotFound):
    code, title = "shop_unknown", "No shop with locations is connected under this id"
    fix = "Connect the shop, and wait until its first load has told its locations."


class LocationUnknown(Refused):
    code, title = "location_unknown", "The shop has no such location"
    fix = "GET /v1/shops/{connection_id}/locations lists them."


class BodyMalformed(Malformed):
    code, title = "malformed", "The request could not be read"


class ItemInvalid(Malformed):
    """`code` of the problem document is that of the first problem's kind: always `item_invalid`; see errors[]."""

    code, title = "item_invalid", "The item was refused"
    fix = "Correct the fields named in 'errors'. Nothing was changed."

    @classmethod
    def of(cls, problems: Sequence[FieldProblem]) -> "ItemInvalid":
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return cls(
            f"{first.field}: {first.message}{more}",
            field=first.field,
            fix=first.fix or None,
            errors=field_errors(problems),
        )


class BatchTooLarge(Refused):
    code, title = "batch_too_large", "The batch has too many entries"


class UploadIncomplete(Malformed):
    code, title = "upload_incomplete", "The upload did not arrive whole"
    fix = "Send the file again. Nothing of it was applied."


class UploadRepeated(Conflict):
    """Why the second upload under an idempotency key ends as `aborted`; nobody is answered with it."""

    code, title = "upload_repeated", "The same file came before, with the same idempotency key"
    fix = "Nothing: the first import has it."


class FetchRefused(Malformed):
    """What an address answered cannot be imported. `again`: it may be otherwise a moment later,
    `retry_after_s`: not before the server says."""

    code, title = "url_answer_refused", "The address did not answer with a file"
    fix = "Open the address in a browser that is signed in nowhere: it has to answer with the file itself."

    def __init__(
        self,
        detail: str,
        *,
        again: bool = False,
        fix: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail, field="url", fix=fix)
        self.again = again
        self.retry_after_s = retry_after_s


class FetchesWaiting(TooMany):
    code, title = "fetches_waiting", "Too many addresses of this brand wait to be fetched"
    fix = "Wait until some of them have come to an end: GET /v1/imports."


class FormatUnknown(Refused):
    code, title = "format_unknown", "There is no such file format"
    fix = "Use format=auto, format=shopify or format=common."


class BrandUnprepared(Unavailable):
    code, title = "brand_unprepared", "The catalog does not know this brand yet"
    fix = "The brand was made a moment ago. Try again in a second."
