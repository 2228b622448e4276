"""Inside a whole transaction a deadlock is left to whoever opened it."""

from typing import Any, cast

import psycopg.errors
import pytest
from sqlalchemy.exc import DBAPIError

from vitrin.kit.db.joining import joined_by_others
from vitrin.kit.db.repeat import TRIES_MAX, repeated
from vitrin.kit.ids import BrandId, new_uuid


async def test_only_the_outermost_is_repeated() -> None:
    tries = []

    async def victim() -> None:
        tries.append(1)
        raise DBAPIError("select 1", None, psycopg.errors.DeadlockDetected())

    with joined_by_others(object(), BrandId(new_uuid()), cast(Any, None)), pytest.raises(DBAPIError):
        await repeated(victim)
    assert len(tries) == 1
    with pytest.raises(DBAPIError):
        await repeated(victim)
    assert len(tries) == 1 + TRIES_MAX
