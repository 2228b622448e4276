"""Collectors that are born quickly: `python -m tests.support.retargeting_nursery`, settings from the environment. It
loads everything once and then forks: a child is a process of its own that kill -9 ends like any other.

One command a line on stdin: `fork` answers the child's process id, after the last child was reaped.
"""

import asyncio
import os
import sys

from vitrin.retargeting.main import run
from vitrin.retargeting.settings import load_settings


def child() -> None:
    asyncio.run(run(load_settings(), role="api", stop=asyncio.Event()))


def main() -> None:
    born = 0
    for line in sys.stdin:
        assert line.strip() == "fork", line
        if born:
            os.waitpid(born, 0)
        born = os.fork()
        if born == 0:
            try:
                child()
            finally:
                os._exit(1)
        print(born, flush=True)


if __name__ == "__main__":
    main()
