"""What the platforms hold outlives the process: a file, written when something changed and at the stop.

One JSON document per line: first the accounts, then the items in the order of their creation. Batches, faults,
quotas and the log are not kept; a batch that is due is carried out before the file is written.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette

from vitrin.sandbox.accounts import TokenState
from vitrin.sandbox.state import CatalogState
from vitrin.sandbox.world import World

SAVE_EVERY_S = 2.0


def save(world: World, path: Path) -> None:
    """Replace the file at once; a crash while writing leaves the old one."""
    world.settle()
    draft = path.with_name(path.name + ".draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("wb") as file:
        file.write(orjson.dumps(_accounts(world)) + b"\n")
        for name, platform in world.platforms.items():
            for catalog_id, catalog in platform.catalogs.items():
                for item in catalog.slice(offset=0, limit=len(catalog)):
                    line = {
                        "platform": name,
                        "catalog_id": catalog_id,
                        "key": item.key,
                        "fields": item.fields(),
                        "created_ms": item.created_ms,
                        "updated_ms": item.updated_ms,
                        "changed_ms": item.changed_ms,
                    }
                    file.write(orjson.dumps(line) + b"\n")
    draft.replace(path)


def load(world: World, path: Path) -> int:
    """Fill a fresh world; the number of items. 0 when there is no file."""
    if not path.exists():
        return 0
    count = 0
    with path.open("rb") as file:
        _open_accounts(world, orjson.loads(file.readline()))
        for line in file:
            entry = orjson.loads(line)
            catalog = world.platforms[entry["platform"]].catalogs[entry["catalog_id"]]
            _restore(catalog, entry)
            count += 1
    return count


def keeping(world: World, path: Path) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """The application's lifespan: load, save what changed every few seconds, save at the stop."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        load(world, path)
        task = asyncio.create_task(_save_changes(world, path), name="sandbox-saving")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            save(world, path)

    return lifespan


async def _save_changes(world: World, path: Path) -> None:
    saved = _stamp(world)
    while True:
        await asyncio.sleep(SAVE_EVERY_S)
        now = _stamp(world)
        if now != saved:
            save(world, path)
            saved = now


def _stamp(world: World) -> tuple[object, ...]:
    """Differs when an item changed."""
    return tuple(
        (catalog_id, len(catalog), catalog.last_change_ms)
        for platform in world.platforms.values()
        for catalog_id, catalog in platform.catalogs.items()
    )


def _accounts(world: World) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [
            {"has_feed": account.has_feed, "token_state": account.token_state.value} for account in accounts
        ]
        for name, accounts in world.accounts.by_platform.items()
    }


def _open_accounts(world: World, saved: dict[str, list[dict[str, Any]]]) -> None:
    for name, entries in saved.items():
        accounts = world.accounts.by_platform[name]
        for number, entry in enumerate(entries):
            if number >= len(accounts):
                world.open_account(name, has_feed=bool(entry["has_feed"]))
            accounts[number].token_state = TokenState(entry["token_state"])


def _restore(catalog: CatalogState, entry: dict[str, Any]) -> None:
    catalog.put(entry["key"], entry["fields"], at_ms=entry["created_ms"])
    item = catalog.get(entry["key"])
    assert item is not None
    item.updated_ms, item.changed_ms = entry["updated_ms"], entry["changed_ms"]
    catalog.last_change_ms = max(catalog.last_change_ms or 0, item.updated_ms)
