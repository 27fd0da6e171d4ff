import os
import socket
import sys
import time
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from mlbench.errors import EngineError, MissingExtra
from mlbench.evaluation.distributed import ray_cluster
from mlbench.evaluation.distributed.ray_cluster import join, open_cluster
from mlbench.protocols import Resources, Silence


@pytest.fixture(autouse=True)
def _environment_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())  # Nothing is started that would have it.
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delitem(sys.modules, "ray", raising=False)


@pytest.fixture
def ray_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str) -> object:
        return None if name == "grpc" else True if name == "ray" else find_spec(name)

    monkeypatch.setattr(ray_cluster, "find_spec", found)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"^workers of Ray need: pip install 'mlbench\[ray\]'$"):
        join("auto", None)


def test_no_workers_are_refused() -> None:
    with pytest.raises(EngineError, match="--workers 0: give at least 1"):
        open_cluster(Resources(workers=0), Silence())


@pytest.mark.usefixtures("ray_is_there")
class TestAddress:
    @pytest.mark.parametrize("address", ["nonsense", "host", "host:", ":6379", "host:port", "host:99999", "ray://host"])
    def test_what_is_no_address_is_refused(self, address: str) -> None:
        with pytest.raises(EngineError, match=f"^--address {address}: give HOST:PORT, such as 10.0.0.1:6379, ray://H"):
            join(address, None)

    def test_rays_client_is_asked_for(self) -> None:
        with pytest.raises(EngineError, match=r"^--address ray://host:10001 needs Ray's client: pip install"):
            join("ray://host:10001", None)

    @pytest.mark.parametrize("given", [True, False])
    def test_an_address_where_nothing_answers_is_refused_at_once(
        self, given: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as line:
            address = f"127.0.0.1:{line.getsockname()[1]}"
        if not given:
            monkeypatch.setenv("RAY_ADDRESS", address)
        begin = time.monotonic()
        with pytest.raises(EngineError, match=f"^no Ray answers at {address}: start one there with ray start --head"):
            join(address if given else None, None)
        assert time.monotonic() - begin < 5

    def test_what_is_no_ray_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ray_cluster, "_PATIENCE", 2.0)
        with socket.create_server(("127.0.0.1", 0)) as line:
            address = f"127.0.0.1:{line.getsockname()[1]}"
            with pytest.raises(EngineError, match=f"^what answers at {address} is no Ray, or one that cannot be"):
                join(address, None)

    def test_another_than_the_one_joined_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))
        monkeypatch.setattr(ray_cluster, "_joined", "host:6379")
        join("host:6379", None)
        join(None, None)
        with pytest.raises(EngineError, match="this process has joined another Ray: for auto, start another process"):
            join("auto", None)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "ConnectionError: x\nRuntimeError: AuthenticationError: InvalidAuthToken",
            "it wants its token: set RAY_AUTH_",
        ),
        (
            "RuntimeError: Version mismatch: The cluster was started with:\n    Ray: 2.50.0\n    Python: 3.12.1",
            "The cluster was started with: Ray: 2.50.0 Python: 3.12.1",
        ),
        ("ConnectionError: Could not find any running Ray instance.", "there is none on this machine: start one"),
        ("ConnectionError: Failed to connect\nRuntimeError: long\nstory", "ConnectionError: Failed to connect"),
        ("", "the attempt was ended"),
    ],
)
def test_what_ray_says_becomes_one_line(said: str, reason: str) -> None:
    found = ray_cluster._reason(said)
    assert found.startswith(reason)
    assert "\n" not in found
