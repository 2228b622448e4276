"""A port that is given out stays free until its server listens: nobody else is given it, asked or unasked."""

import secrets
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vitrin.kit.embedded import ports
from vitrin.kit.embedded.ports import LOOPBACK, free_port

GIVEN = 300


def test_no_port_is_given_twice() -> None:
    assert len({free_port() for _ in range(GIVEN)}) == GIVEN


@pytest.mark.skipif(sys.platform != "linux", reason="reserved across processes on Linux only")
def test_another_process_is_given_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = "from vitrin.kit.embedded.ports import free_port; print(free_port(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", ask], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        monkeypatch.setattr(secrets, "randbelow", lambda below: theirs - ports.FIRST_PORT)
        with pytest.raises(RuntimeError, match="no free port"):
            free_port()
        other.communicate("\n")
    assert free_port() == theirs


def test_the_system_gives_none_of_them_to_an_outgoing_connection() -> None:
    unasked = []
    for _ in range(GIVEN):
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            unasked.append(probe.getsockname()[1])
    assert max(free_port() for _ in range(GIVEN)) < min(unasked)


def test_a_range_that_leaves_no_room_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = tmp_path / "range"
    wide.write_text("1024\t65535\n", encoding="ascii")
    monkeypatch.setattr(ports, "EPHEMERAL_RANGE", wide)
    assert ports.FIRST_PORT <= free_port() < ports.FIRST_EPHEMERAL


def test_when_all_are_taken_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "port_is_free", lambda port, host: False)
    with pytest.raises(RuntimeError, match="no free port"):
        free_port()
