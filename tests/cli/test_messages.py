"""`vitrin dlq` and `vitrin parked` against a running consumer and its operator's door."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.support.ops import TOKEN, Door, Operated, operating, poisoned, until
from tests.support.spine import Spine
from vitrin.kit.embedded.broker import EmbeddedBroker
from vitrin.kit.embedded.postgres import EmbeddedPostgres


@pytest.fixture
async def operated(
    embedded_postgres: EmbeddedPostgres, embedded_broker: EmbeddedBroker
) -> AsyncIterator[Operated]:
    async with operating(embedded_postgres, embedded_broker) as operated:
        yield operated


@pytest.fixture
def spine(operated: Operated) -> Spine:
    return operated.spine


@pytest.fixture
def door(operated: Operated) -> Door:
    return operated.door


Vitrin = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def vitrin(door: Door, tmp_path: Path) -> Vitrin:
    """Runs a command line as a process of its own; its exit code and what it said (stderr when stdout is empty). The
    spine answers where catalog would, and at the addresses of the others too, so that all are asked."""

    async def run_it(*arguments: str, token: str = TOKEN) -> tuple[int, str]:
        environment = {
            **os.environ,
            "PYTHONPATH": "services",
            "VITRIN_VAR": str(tmp_path),
            "VITRIN_OPERATOR_TOKEN": token,
            "VITRIN_CATALOG_URL": door.url,
            "VITRIN_SHOP_SYNC_URL": door.url,
            "VITRIN_NOTIFY_URL": door.url,
            "VITRIN_RETARGETING_URL": door.url,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "vitrin.cli", *arguments),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, (out or err).decode()

    return run_it


async def test_the_command_line_lists_and_shows(spine: Spine, door: Door, vitrin: Vitrin) -> None:
    letters = await poisoned(spine, door, uuid4(), ["sour", "bitter", "salty"])
    code, said = await vitrin("dlq", "list", "--service", "catalog", "--json")
    document = json.loads(said)
    assert (code, document["more"]) == (0, False)
    assert [one["id"] for one in document["data"]] == [one["id"] for one in letters]
    assert {one["service"] for one in document["data"]} == {"catalog"}
    code, said = await vitrin("dlq", "list", "--limit", "2")
    assert code == 0
    assert said.count("ValueError: cannot handle sour") == 4
    assert "and more: only the first 2" in said
    code, said = await vitrin("dlq", "show", letters[0]["id"])
    assert code == 0
    assert '"item_id": "sour"' in said
    code, said = await vitrin("dlq", "show", letters[0]["id"], "--json")
    assert json.loads(said)["payload"]["message"]["content"] == {"item_id": "sour"}


async def test_the_command_line_replays_and_drops(spine: Spine, door: Door, vitrin: Vitrin) -> None:
    brand = uuid4()
    sour, bitter, salty = await poisoned(spine, door, brand, ["sour", "bitter", "salty"])
    code, said = await vitrin("dlq", "replay", sour["id"], "--service", "catalog")
    assert code == 1
    assert "failed: ValueError: cannot handle sour" in said
    spine.poison.clear()
    code, said = await vitrin("dlq", "replay", "--all", "--service", "catalog", "--reason", "sour", "--json")
    assert code == 0
    assert [(one["id"], one["state"]) for one in json.loads(said)["data"]] == [(sour["id"], "replayed")]
    assert await spine.seen(brand) == {"sour": 1}
    code, said = await vitrin("dlq", "replay", bitter["id"])
    assert code == 0
    assert "replayed" in said
    code, said = await vitrin("dlq", "drop", salty["id"], "--reason", "test data", "--json")
    assert (code, json.loads(said)["state"]) == (0, "dropped")
    assert (await vitrin("dlq", "list"))[1].strip() == "nothing there"
    code, said = await vitrin("dlq", "list", "--state", "all", "--service", "shop_sync", "--json")
    assert [one["state"] for one in json.loads(said)["data"]] == ["replayed", "replayed", "dropped"]
    code, said = await vitrin("dlq", "replay", salty["id"])
    assert code == 1
    assert "dead_letter_not_dead" in said


async def test_the_command_line_shows_what_is_parked(spine: Spine, door: Door, vitrin: Vitrin) -> None:
    spine.waiting.add("late")
    await spine.change(uuid4(), "late")
    code, said = await until(
        lambda: vitrin("parked", "--service", "catalog"), lambda seen: "late has to wait" in seen[1]
    )
    assert code == 0
    code, said = await vitrin("parked", "--json")
    assert [one["service"] for one in json.loads(said)["data"]] == [
        *("catalog", "shop_sync", "notify", "retargeting")
    ]


async def test_the_command_line_says_what_cannot_work(vitrin: Vitrin) -> None:
    some = str(UUID(int=0))
    code, said = await vitrin("dlq", "show", some)
    assert code == 4
    assert "message_not_found" in said
    for arguments in (
        ("replay",),
        ("replay", "--all", some),
        ("drop", some),
        ("list", "--service", "accounts"),
    ):
        assert (await vitrin("dlq", *arguments))[0] == 2, arguments
    code, said = await vitrin("parked", token="not-the-operator-token")
    assert code == 5
    assert "operator_token_wrong" in said
    code, said = await vitrin("dlq", "list", token="")
    assert code == 5
    assert "operator_token_missing" in said
