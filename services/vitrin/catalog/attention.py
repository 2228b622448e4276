"""What catalog says that needs a person: an import that came to nothing. The next good one from there ends it."""

from collections.abc import Mapping
from typing import Any, Final

from vitrin.kit.attention import Attentions, Concern
from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession

IMPORT_FAILED: Final = "import.failed"
UPLOADS: Final = "upload"
CAUSE_MAX: Final = 300


async def import_ended(
    tx: WriteSession, row: Any, *, problem: Mapping[str, object] | None, clock: Clock
) -> None:
    """`row`: the import as it stands. `problem` None: it was applied."""
    attentions = Attentions("catalog.attention_changed", clock)
    cause = (row.source_url or UPLOADS)[:CAUSE_MAX]
    if problem is None:
        await attentions.resolve(tx, row.brand_id, IMPORT_FAILED, [cause])
        return
    what = row.source_url or row.file_name or "an uploaded file"
    concern = Concern(
        kind=IMPORT_FAILED,
        cause=cause,
        severity="warning",
        title=f"The import of {what[:200]} failed",
        detail=f"{problem.get('code')}: {problem.get('message')}",
        fix=str(problem.get("fix") or "See the import's report, and send the file again."),
        subject=f"import:{row.import_id}",
        look_at=f"/v1/imports/{row.import_id}",
    )
    await attentions.open(tx, row.brand_id, concern)
