"""Door and mover of a house in a process that a test kills. Prints the door's address."""

import asyncio
import os
from pathlib import Path

from tests.catalog.shop.house import House
from vitrin.kit.settings import DatabaseSettings


async def main() -> None:
    database = DatabaseSettings(VITRIN_DATABASE_URL=os.environ["CORNER_DATABASE"])
    house = House(
        database, Path(os.environ["CORNER_FOLDER"]), accounts_port=int(os.environ["CORNER_ACCOUNTS"])
    )
    async with house.running(work=False):
        await house.informed()
        print(house.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
