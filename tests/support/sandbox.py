"""A real sandbox server on a free loopback port, for the tests of everybody who talks to a platform."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

from vitrin.sandbox.main import server
from vitrin.sandbox.settings import SandboxSettings

START_SECONDS_MAX = 20


@contextmanager
def running_sandbox(**settings: Any) -> Iterator[str]:
    """Serve a fresh sandbox in a thread and yield its address, such as ``http://127.0.0.1:43127``.

    Keyword arguments are those of ``SandboxSettings``; ``host`` and ``port`` are chosen here.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        host, port = listener.getsockname()
        running = server(SandboxSettings(**{"host": host, "port": port, **settings}))
        thread = threading.Thread(
            target=running.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True
        )
        thread.start()
        try:
            deadline = monotonic() + START_SECONDS_MAX
            while not running.started:
                if not thread.is_alive() or monotonic() > deadline:
                    raise RuntimeError("the sandbox did not start")
                sleep(0.01)
            yield f"http://{host}:{port}"
        finally:
            running.should_exit = True
            thread.join(timeout=START_SECONDS_MAX)
