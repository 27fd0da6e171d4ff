from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from pydantic import BaseModel

import mlbench
from mlbench import members, plugin, protocols
from mlbench.open_model import wrap_model
from mlbench.protocols import Encoder, Parameter, Ranker, Reranker, Role, Runtime, Silence, Vectors


class Plain:
    """An encoder with what is required and no more."""

    dim = 2
    similarity = "cosine"
    parameters: ClassVar[dict[str, Parameter]] = {}

    def fingerprint(self, role: Role) -> str:
        return "plain"

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        return np.array([[len(text), 1] for text in texts], dtype=np.float32).reshape(-1, 2)


class Loader:
    class Settings(BaseModel):
        pass

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> Plain:
        return Plain()


class Proxy:
    """Stands in for another object."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


class Costly(Plain):
    @property
    def tokens(self) -> int:
        raise RuntimeError("computed")


@pytest.mark.parametrize(
    ("protocol", "required"),
    [(Encoder, members.ENCODER), (Ranker, members.RANKER), (Reranker, members.RERANKER)],
)
def test_what_is_required_is_what_the_protocol_declares(protocol: type, required: tuple[str, ...]) -> None:
    """One more member would break the plugins that there are: declare it in a protocol of its own, as optional."""
    declared = {name for name in (*vars(protocol), *protocol.__annotations__) if not name.startswith("_")}
    assert declared == set(required)


def test_required_members_stay_as_they_are() -> None:
    assert members.ENCODER == ("dim", "encode", "fingerprint", "parameters", "similarity")
    assert members.RANKER == ("fingerprint", "parameters", "search")
    assert members.RERANKER == ("fingerprint", "parameters", "score")
    assert members.LOADER == ("Settings", "open")


def test_an_encoder_with_what_is_required_opens_and_runs(tmp_path: Path) -> None:
    assert isinstance(wrap_model(Plain(), {}, Runtime()), Plain)
    options = mlbench.Options(cache=tmp_path, resamples=20)
    result = mlbench.evaluate(Plain(), "mini", languages=["de", "en"], options=options).result
    assert (result.retriever.kind, result.retriever.training, result.cost.tokens) == ("encoder", None, None)


def test_optional_members_have_defaults(tmp_path: Path) -> None:
    for each in (Plain(), Loader, lambda request: request):
        assert not members.reads_images(each)
        assert members.tokens_of(each) == 0
        assert members.provenance_of(each) is None
        assert not members.encodes_by_requests(each)
        assert members.repeatability_of(each) is None
        assert members.spent_of(each) is None
        assert members.index_costs_of(each) == ()
        assert not members.prepare(each, {}, None, Silence())
        assert not members.wraps_models(each)
        assert not members.finds_folders(each)
        assert members.packaged(each) is None
        assert members.libraries_of(each) == ()
        assert members.extra_of(each) is None
        assert members.example_of(each) is None
        assert not members.recognises(each, tmp_path)
        assert not members.describes_folders(each)
        assert members.looks_for(each) == ""
        assert not members.describes_itself(each)
        assert not members.gives_shards(each)


def test_what_is_missing_is_named() -> None:
    assert members.missing(Plain(), members.ENCODER) == ()
    assert members.missing(Plain(), members.RANKER) == ("search",)
    assert members.missing({}, members.LOADER) == ("Settings", "open")


def test_none_is_no_member() -> None:
    class Without(Plain):
        encode = None  # type: ignore[assignment]

    assert members.missing(Without(), members.ENCODER) == ("encode",)
    assert not members.is_encoder(Without())


def test_an_object_that_stands_in_for_another_has_its_members() -> None:
    assert members.is_encoder(Proxy(Plain()))
    assert not members.is_ranker(Proxy(Plain()))


def test_no_property_is_computed_to_see_whether_it_is_there() -> None:
    assert members.is_encoder(Costly())
    with pytest.raises(RuntimeError, match="computed"):
        members.tokens_of(Costly())


def test_a_loader_has_settings_that_are_a_model() -> None:
    class Other(Loader):
        Settings = dict  # type: ignore[assignment]

    assert members.is_loader(Loader)
    assert not members.is_loader(Other)


def test_the_module_for_authors_of_plugins_has_every_protocol() -> None:
    assert sorted(plugin.__all__) == sorted(name for name in vars(plugin) if name[0] != "_")
    declared = {name for name, value in vars(protocols).items() if getattr(value, "_is_protocol", False)}
    assert declared - {"Protocol"} <= set(plugin.__all__)
