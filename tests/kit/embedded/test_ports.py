"""A port that is given out stays free until its server listens: nobody else is given it, asked or unasked."""

import socket
from pathlib import Path

import pytest

from vitrin.kit.embedded import ports
from vitrin.kit.embedded.ports import LOOPBACK, free_port

GIVEN = 300


def test_no_port_is_given_twice() -> None:
    assert len({free_port() for _ in range(GIVEN)}) == GIVEN


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
