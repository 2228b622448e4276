"""What clients see of imports: state, progress, and the report per row."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from vitrin.catalog import repository_imports as repository
from vitrin.catalog.errors import ImportUnknown
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.ids import BrandId, ImportId


class ImportService:
    def __init__(self, *, database: AppDatabase) -> None:
        self._database = database

    async def get(self, brand: BrandId, import_id: ImportId) -> dict[str, object]:
        """Raises ImportUnknown."""
        async with self._database.read(brand) as tx:
            row = await repository.get(tx, brand=brand, import_id=import_id)
        if row is None:
            raise ImportUnknown(f"There is no import {import_id}.")
        return import_document(row)

    async def page(
        self, brand: BrandId, *, before: ImportId | None, limit: int
    ) -> tuple[list[dict[str, object]], ImportId | None]:
        """The newest first, and where the next page begins."""
        async with self._database.read(brand) as tx:
            rows = await repository.page(tx, brand=brand, before=before, limit=limit + 1)
        more = ImportId(rows[limit - 1].import_id) if len(rows) > limit else None
        return [import_document(row) for row in rows[:limit]], more

    async def rows(
        self,
        brand: BrandId,
        import_id: ImportId,
        *,
        outcome: str | None,
        item_id: str | None,
        after: int,
        limit: int,
    ) -> tuple[list[dict[str, object]], int | None]:
        """Raises ImportUnknown."""
        async with self._database.read(brand) as tx:
            if await repository.get(tx, brand=brand, import_id=import_id) is None:
                raise ImportUnknown(f"There is no import {import_id}.")
            rows = await repository.rows_page(
                tx,
                brand=brand,
                import_id=import_id,
                outcome=outcome,
                item_id=item_id,
                after=after,
                limit=limit + 1,
            )
        more = rows[limit - 1].row_number if len(rows) > limit else None
        return row_documents(rows[:limit]), more


def import_document(row: Row[Any]) -> dict[str, object]:
    return {
        "id": row.import_id,
        "state": row.state,
        "format": row.format or None,
        "file_name": row.file_name or None,
        "url": row.source_url or None,
        "bytes": row.bytes,
        "bytes_total": row.bytes_total,
        "sha256": row.sha256.hex() if row.sha256 else None,
        "rows": {
            "total": row.rows_total,
            "done": row.rows_done,
            "created": row.created,
            "updated": row.updated,
            "unchanged": row.unchanged,
            "refused": row.refused,
            "images": row.images,
        },
        "problem": row.problem,
        "actor": row.actor,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
    }


def row_documents(rows: Sequence[Row[Any]]) -> list[dict[str, object]]:
    return [
        {
            "row": row.row_number,
            "id": row.item_id or None,
            "outcome": row.outcome,
            "problems": row.problems,
        }
        for row in rows
    ]
