"""`vitrin listen` and `vitrin trigger` as processes of their own, beside notify on a real socket."""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.notify.conftest import (  # noqa: F401 - fixtures
    Shop,
    clock,
    databases,
    http,
    make_shop,
    notify_settings,
    outbound,
    parts,
    post_office,
    shop,
    wakers,
)
from tests.notify.receiver import Answer, Receiver, receiving
from vitrin.kit import webhook_signing

SECRET = webhook_signing.secret_text(bytes(range(32)))


async def start(shop: Shop, directory: Path, *arguments: str) -> asyncio.subprocess.Process:  # noqa: F811
    environment = {
        **os.environ,
        "PYTHONPATH": "services",
        "VITRIN_VAR": str(directory),
        "VITRIN_NOTIFY_URL": str(shop.http.base_url),
        "VITRIN_API_KEY": shop.key,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vitrin.cli", *arguments),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_listen_forwards_what_happens_from_now_on_signed(shop: Shop, tmp_path: Path) -> None:  # noqa: F811
    await shop.hear(shop.status("before"))
    async with receiving() as mine:
        listening = await start(
            shop,
            tmp_path,
            *("listen", "--forward-to", mine.url, "--secret", SECRET, "--type", "item.live"),
            *("--count", "2", "--json"),
        )
        assert listening.stderr is not None
        assert SECRET in (await listening.stderr.readline()).decode()
        await shop.hear(shop.status("mug-1"), shop.status("mug-2", "removed"))
        await mine.until(1)
        mine.decide = lambda got: Answer(500)
        await shop.hear(shop.status("mug-3"))
        code, out, _ = await ended(listening)
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(one["event"]["object"]["id"], one["forwarded"]["status"]) for one in lines] == [
        ("mug-1", 200),
        ("mug-3", 500),
    ]
    assert [got.verified_by(SECRET) for got in mine.got] == [one["event"] for one in lines]
    assert await shop.deliveries() == []


async def test_listen_says_when_nobody_is_there_and_what_a_secret_is(shop: Shop, tmp_path: Path) -> None:  # noqa: F811
    gone = Receiver(port=1)
    listening = await start(shop, tmp_path, "listen", "--forward-to", gone.url, "--count", "1")
    assert listening.stdout is not None
    said = (await listening.stdout.readline()).decode()
    assert "signed with whsec_" in said
    await shop.hear(shop.status("mug-1"))
    code, out, _ = await ended(listening)
    assert code == 0
    assert "item.live  mug-1" in out
    assert "refused" in out
    code, _, err = await ended(await start(shop, tmp_path, "listen", "--secret", "abc"))
    assert code == 2
    assert "secret_invalid" in err


async def test_trigger_goes_the_whole_way(shop: Shop, tmp_path: Path) -> None:  # noqa: F811
    async with receiving() as theirs, shop.delivering():
        made = await shop.endpoint(theirs.url)
        code, out, err = await ended(await start(shop, tmp_path, "trigger", "removal.held", "--json"))
        assert code == 0, err
        event = json.loads(out)
        assert [(one["state"], one["last_status"]) for one in event["deliveries"]] == [("delivered", 200)]
        assert theirs.got[0].verified_by(made["secret"])["test"] is True
        theirs.decide = lambda got: Answer(500)
        code, out, _ = await ended(await start(shop, tmp_path, "trigger", "item.live"))
        assert code == 1
        assert "refused" in out
    code, _, err = await ended(await start(shop, tmp_path, "trigger", "item.flown"))
    assert code == 1
    assert "webhook_type_unknown" in err
