"""A process that appends without end and says, after each, which one is durable; it is killed while it does so."""

import asyncio
import os
import sys
from pathlib import Path

from vitrin.kit.clock import system_clock
from vitrin.kit.spool import LocalFiles, Spool, SpoolLimits

LIMITS = SpoolLimits(record_bytes_max=5_000, batch_bytes_max=20_000, segment_bytes_max=100_000, keep_s=0)


async def main(folder: Path, begin: int) -> None:
    async with Spool(
        LocalFiles(folder), name="killed", consumers=["reader"], clock=system_clock, limits=LIMITS
    ) as spool:

        async def appending(number: int) -> None:
            while True:
                payload = b"%08d:" % number + bytes([number % 256]) * (number % 3_000)
                await spool.append(payload)
                os.write(1, b"%08d\n" % number)  # one write of a pipe is not torn
                number += 16

        await asyncio.gather(*(appending(begin + lane) for lane in range(16)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
