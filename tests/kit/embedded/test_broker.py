"""The embedded broker listens on loopback only and says why it cannot start."""

import socket
from pathlib import Path

import psutil
import pytest

from vitrin.kit.embedded.broker import BrokerPlace, EmbeddedBroker
from vitrin.kit.embedded.errors import StartFailed
from vitrin.kit.embedded.ports import port_is_free


def test_it_listens_on_loopback_only(embedded_broker: EmbeddedBroker) -> None:
    assert embedded_broker.process is not None
    connections = psutil.Process(embedded_broker.process.pid).net_connections(kind="inet")
    listening = [c.laddr for c in connections if c.status == psutil.CONN_LISTEN]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", embedded_broker.port)]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        broker = EmbeddedBroker(BrokerPlace(log_path=tmp_path / "log", port=port))
        with pytest.raises(StartFailed, match=f"port {port} is in use"):
            broker.start()
    assert broker.process is None


def test_it_stops_and_starts_again_on_the_same_port(tmp_path: Path) -> None:
    broker = EmbeddedBroker(BrokerPlace(log_path=tmp_path / "log"))
    broker.start()
    port = broker.port
    broker.stop()
    assert port_is_free(port)
    broker.start()
    assert broker.bootstrap == f"127.0.0.1:{port}"
    broker.stop()
