"""People, keys and the audit log by the command line, against the served application."""

import asyncio
import json
from typing import Any

import pytest

from tests.accounts.conftest import Shop
from vitrin.cli.main import run


async def test_a_person_comes_works_and_leaves(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VITRIN_ACCOUNTS_URL", str(shop.http.base_url))
    monkeypatch.setenv("VITRIN_API_KEY", shop.live)

    async def said(*words: str) -> str:
        capsys.readouterr()
        assert await asyncio.to_thread(run, words) == 0
        out = capsys.readouterr().out
        return "\n".join(
            line for line in out.splitlines() if "[info " not in line
        )  # the service logs there too

    async def document(*words: str) -> Any:
        return json.loads(await said(*words, "--json"))

    made = await document("invitation", "create", "ada@shop.example", "--role", "owner")
    assert "ada@shop.example" in await said("invitation", "list")
    welcome = await document("invitation", "accept", made["token"], "--name", "Ada")
    own, member = welcome["key"]["key"], welcome["member"]["id"]
    assert "Ada" in await said("member", "list")
    import_key = await document("key", "create", "--name", "Import", "--mode", "live", "--key", own)
    rotated = await document("key", "rotate", import_key["id"], "--overlap-s", "0", "--key", own)
    assert rotated["rotated_from"] == import_key["id"]
    assert rotated["id"] in await said("key", "list")
    did = (await document("audit", "--actor", f"member:{member}", "--limit", "3"))["data"]
    assert [entry["action"] for entry in did] == ["key.rotate", "key.create", "key.create"]
    assert "key.rotate" in await said("audit", "--object", f"key:{import_key['id']}")
    brand = await document("brand", "change", "--approval-needs-other-person", "--key", own)
    assert (brand["id"], brand["approval_needs_other_person"]) == (shop.id, True)
    assert "viewer now" in await said("member", "role", member, "viewer")
    left = await said("member", "remove", member)
    assert "1 own keys revoked" in left
    assert rotated["id"] in left
    assert await asyncio.to_thread(run, ["brand", "list", "--key", own]) == 5
