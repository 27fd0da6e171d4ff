import sys
from importlib.metadata import version

import pytest

from mlbench.evaluation.environment import describe_environment
from mlbench.io.libraries import LIBRARIES, versions_imported, versions_installed


def test_versions_are_those_of_what_is_installed() -> None:
    assert versions_installed(["numpy", "no-such-thing"]) == {"numpy": version("numpy")}


def test_only_what_was_imported_had_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in LIBRARIES:
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert versions_imported() == {}
    monkeypatch.setitem(sys.modules, "tokenizers", object())  # type: ignore[arg-type]
    assert versions_imported() == {"tokenizers": version("tokenizers")}


def test_a_result_names_what_decoded_its_images() -> None:
    pytest.importorskip("PIL")
    assert describe_environment(None).libraries["pillow"] == version("pillow")
