"""What the tests of systems stand on."""

import pytest
from unit.retrievers.pipelines import toys


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    toys.install(monkeypatch)
