"""A hint is never waited for: it is only a hint."""

import asyncio

from pydantic import SecretStr

from vitrin.kit.embedded.ports import LOOPBACK
from vitrin.kit.kafka.hints import HintSender
from vitrin.kit.kafka.producer import Ack
from vitrin.kit.settings import DatabaseSettings


async def test_a_database_that_does_not_answer_is_given_up() -> None:
    silent = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    async with await asyncio.start_server(say_nothing, LOOPBACK, 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = SecretStr(f"postgresql://nobody@{LOOPBACK}:{port}/hints")
        sender = HintSender(DatabaseSettings(url=url, hint_url=url))
        async with asyncio.timeout(20):
            await sender.sent([Ack("catalog.item", 0, 1)])
        silent.set()
        await sender.close()
