"""`vitrin events`, beside a collector on a real socket."""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.retargeting.conftest import house  # noqa: F401 - fixture
from tests.retargeting.house import House, until
from tests.support.apache import ROOT


async def vitrin(at: House, key: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vitrin.cli", "events", *arguments),
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "services"),
            "VITRIN_RETARGETING_URL": at.url,
            "VITRIN_API_KEY": key,
            "VITRIN_VAR": str(at.folder),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def said(at: House, key: str, *arguments: str) -> tuple[int | None, str]:
    process = await vitrin(at, key, *arguments)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, (out + err).decode()


async def test_send_tail_health_and_sources(house: House, tmp_path: Path) -> None:  # noqa: F811
    async with house.door() as client, house.consumer():
        key = await house.new_key()
        tailing = await vitrin(house, key, "tail", "--count", "2", "--json")
        assert tailing.stderr is not None
        assert b"waiting" in await asyncio.wait_for(tailing.stderr.readline(), 60)
        lines = [
            {"event_id": "f-1", "name": "search", "visitor_id": "v", "search_term": "mugs"},
            {"event_id": "f-2", "name": "nope", "visitor_id": "v"},
        ]
        file = tmp_path / "events.jsonl"
        file.write_text("\n".join(map(json.dumps, lines)))
        order = (
            "--name",
            "purchase",
            "--order",
            "o-1",
            "--value",
            "12.5",
            "--currency",
            "EUR",
            "--item",
            "mug-1",
        )
        sent, of_file, usage = await asyncio.gather(
            said(house, key, "send", *order),
            said(house, key, "send", "--file", str(file)),
            said(house, key, "send"),
        )
        assert (sent[0], "1 accepted" in sent[1]) == (0, True), sent[1]
        assert of_file[0] == 1
        assert "name_unknown" in of_file[1]
        assert usage[0] == 2
        out, _ = await asyncio.wait_for(tailing.communicate(), 60)
        names = sorted(event["name"] for event in map(json.loads, out.decode().splitlines()))
        assert names == ["purchase", "search"]

        async def counted() -> int:
            found = await client.get("/v1/event_health", headers={"Authorization": f"Bearer {key}"})
            return sum(one["accepted"] + one["refused"] for one in found.json()["data"])

        await until(counted, lambda number: number == 3)
        code, text = await said(house, key, "health")
        assert code == 0
        assert all(word in text for word in ("purchase", "name_unknown", "mug-1")), text
        code, text = await said(house, key, "sources", "--add", "https://www.shop.example", "--json")
        assert (code, json.loads(text)["data"]) == (
            0,
            [{"origin": "https://www.shop.example", "key_id": None}],
        )
