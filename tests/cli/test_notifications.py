"""`vitrin notifications` and `vitrin notification-channels`, beside notify on a real socket."""

import asyncio
import json
from pathlib import Path

from tests.cli.test_webhooks import ended, start
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
from tests.notify.receiver import receiving
from tests.notify.test_inbox import attention


async def said(shop: Shop, directory: Path, *arguments: str, stdin: str = "") -> tuple[int | None, str, str]:  # noqa: F811
    process = await start(shop, directory, *arguments)
    if stdin:
        out, err = await process.communicate(stdin.encode())
        return process.returncode, out.decode(), err.decode()
    return await ended(process)


async def test_the_inbox_and_a_channel(shop: Shop, tmp_path: Path) -> None:  # noqa: F811
    await shop.heed(attention(shop))
    listed, (code, out, _) = await asyncio.gather(
        said(shop, tmp_path, "notifications", "list", "--unread", "--json"),
        said(shop, tmp_path, "notifications", "read"),
    )
    assert code == 2, out
    (one,) = json.loads(listed[1])["data"]
    code, out, err = await said(shop, tmp_path, "notifications", "read", one["id"])
    assert (code, "read: The token of Meta ends soon" in out + err) == (0, True)
    async with receiving() as receiver:
        add = ("notification-channels", "add", "--slack-url-stdin", "--quiet", "22:00-07:00", "--json")
        code, out, err = await said(shop, tmp_path, *add, stdin=f"{receiver.url}\n")
        assert code == 0, err
        made = json.loads(out)
        assert (made["quiet_from"], made["quiet_until"]) == ("22:00", "07:00")
        code, out, err = await said(shop, tmp_path, "notification-channels", "test", made["id"])
        assert (code, "sent in" in out + err, len(receiver.got)) == (0, True, 1)
    code, out, err = await said(shop, tmp_path, "notification-channels", "remove", made["id"])
    assert code == 0, err
