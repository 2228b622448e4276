"""Use case of the last use of keys: every process tells it about once a minute."""

from collections.abc import Sequence

from vitrin.accounts import repository
from vitrin.kit.access.uses import KEYS_MAX, KeyUse
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.errors import Refused


class UseBook:
    def __init__(self, database: WorkerDatabase) -> None:
        self._database = database

    async def save(self, uses: Sequence[KeyUse]) -> None:
        """The latest moment stands; a key that the brand does not have is passed over. Refused for too many at once."""
        if len(uses) > KEYS_MAX:
            raise Refused(f"{len(uses)} keys at once; at most {KEYS_MAX}.")
        if uses:
            async with self._database.write(sorted({use.brand_id for use in uses})) as tx:
                await repository.save_uses(tx, uses)
