"""What holds for every test: no network, and of several processes each takes one core."""

import os
import socket

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # processes share the cores: each takes one
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to anything but this machine, by name and in words."""
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
            raise ConnectionRefusedError(f"A test wanted to reach {address}; tests use no network.")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of the window first: napari looks for leaked windows, which needs a young process."""
    items.sort(key=lambda item: "widgets" not in item.path.parts)
