"""What decides a checkpoint's vectors is in its digest, wherever it lies, and must not change during a run."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from unit.retrievers.tiny import TEXTS, save_bert

from mlbench import members
from mlbench.embeddings.encode import embed
from mlbench.embeddings.store import VectorStore
from mlbench.errors import RetrieverError
from mlbench.open_model import open_retriever
from mlbench.protocols import Encoder, Role, Runtime, Silence, Vectors
from mlbench.retrievers import dense
from mlbench.retrievers.checkpoint_folder import checkpoint_files, read_files
from mlbench.retrievers.dense import DenseEncoder
from mlbench.retrievers.load_checkpoint import load

torch = pytest.importorskip("torch")
sentence_transformers = pytest.importorskip("sentence_transformers")

GROUPS: dict[tuple[Role, str], Sequence[str]] = {("query", "en"): TEXTS[:20], ("document", "en"): TEXTS[20:]}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("saved") / "bert", "BertModel")


@pytest.fixture
def bert(base: Path, tmp_path: Path) -> Path:
    return shutil.copytree(base, tmp_path / "bert")


@pytest.fixture
def with_dense(base: Path, tmp_path: Path) -> Path:
    from sentence_transformers.base.modules import Dense as Layer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    torch.manual_seed(3)
    modules = [Transformer(str(base)), Pooling(32), Layer(32, 8)]
    sentence_transformers.SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(tmp_path / "model"))
    return tmp_path / "model"


def opened(folder: Path, **settings: str) -> DenseEncoder:
    encoder = open_retriever(f"dense:{folder}", settings, Runtime(device="cpu"))
    assert isinstance(encoder, DenseEncoder)
    return encoder


def rewrite(weights: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    save_file({name: tensor * 1.5 for name, tensor in tensors.items()}, weights, metadata={"format": "pt"})


def link_module(folder: Path) -> Path:
    (folder / "2_Dense").rename(folder.parent / "elsewhere")
    (folder / "2_Dense").symlink_to(folder.parent / "elsewhere", target_is_directory=True)
    return folder.parent / "elsewhere" / "model.safetensors"


def link_file(folder: Path) -> Path:
    place = (folder / "2_Dense" / "model.safetensors").rename(folder.parent / "weights.safetensors")
    (folder / "2_Dense" / "model.safetensors").symlink_to(place)
    return place


def move_module(name: str) -> Callable[[Path], Path]:
    def move(folder: Path) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "2_Dense").rename(folder / name)
        modules = json.loads((folder / "modules.json").read_text())
        modules[2]["path"] = name
        (folder / "modules.json").write_text(json.dumps(modules))
        return folder / name / "model.safetensors"

    return move


@pytest.mark.parametrize(
    "place",
    [
        link_module,
        link_file,
        *(move_module(name) for name in ("checkpoint-9/2_Dense", "onnx", "runs-2", ".dense")),
    ],
)
def test_weights_count_wherever_the_modules_lie(place: Callable[[Path], Path], with_dense: Path) -> None:
    weights = place(with_dense)
    before = opened(with_dense)
    vectors = before.encode(TEXTS[:4], "query")
    rewrite(weights)
    after = opened(with_dense)
    assert np.abs(after.encode(TEXTS[:4], "query") - vectors).max() > 1e-3
    assert after.fingerprint("query") != before.fingerprint("query")


def test_a_route_of_a_router_counts_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "router_config.json").write_text(json.dumps({"types": {"checkpoint-query": "x.Dense"}}))
    (tmp_path / "checkpoint-query").mkdir()
    (tmp_path / "checkpoint-query" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "checkpoint-7").mkdir()
    (tmp_path / "checkpoint-7" / "model.safetensors").write_bytes(b"left by a trainer")
    assert sorted(checkpoint_files(tmp_path)) == ["checkpoint-query/model.safetensors", "router_config.json"]


def test_shards_count_where_the_index_says_they_are(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "checkpoint-1/one.safetensors", "b": "two.safetensors", "c": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "checkpoint-1").mkdir()
    for name in ("checkpoint-1/one.safetensors", "checkpoint-1/other.safetensors", "two.safetensors"):
        (tmp_path / name).write_bytes(b"weights")
    names = {"checkpoint-1/one.safetensors", "model.safetensors.index.json", "two.safetensors"}
    assert set(checkpoint_files(tmp_path)) == names


def test_links_that_go_round_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text("{}")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    assert sorted(checkpoint_files(tmp_path)) == ["a/config.json"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_an_adapter_counts_with_its_base(name: str, bert: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(bert)}))
    (adapter / "adapter_model.safetensors").write_bytes(b"lora")
    before = read_files(adapter)[1]
    content = bytearray((bert / name).read_bytes())
    content[-3] ^= 1
    (bert / name).write_bytes(content)
    assert read_files(adapter)[1] != before


CODE = """
from transformers import BertConfig, BertModel

FACTOR = {factor}

class MineConfig(BertConfig):
    model_type = "mine"

class Mine(BertModel):
    config_class = MineConfig

    def forward(self, *arguments, **named):
        found = super().forward(*arguments, **named)
        found.last_hidden_state = found.last_hidden_state * FACTOR
        return found
"""


@pytest.mark.parametrize("where", ["in the folder", "elsewhere"])
def test_code_of_a_checkpoint_counts_wherever_it_lies(
    where: str, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
        monkeypatch.delitem(sys.modules, name)
    home = bert if where == "in the folder" else tmp_path / "other"
    home.mkdir(exist_ok=True)
    prefix = "" if where == "in the folder" else f"{home}--"
    config = json.loads((bert / "config.json").read_text())
    names = {"AutoConfig": f"{prefix}mine.MineConfig", "AutoModel": f"{prefix}mine.Mine"}
    (bert / "config.json").write_text(json.dumps(config | {"model_type": "mine", "auto_map": names}))
    found = []
    for factor in (1, 2):
        (home / "mine.py").write_text(CODE.format(factor=factor))
        for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
            monkeypatch.delitem(sys.modules, name)
        encoder = open_retriever(f"dense:{bert}", {}, Runtime(device="cpu", trust_remote_code=True))
        assert isinstance(encoder, DenseEncoder)
        found.append((encoder.fingerprint("query"), float(np.abs(encoder.encode(["the cat"], "query")).max())))
    assert found[1][1] == pytest.approx(2 * found[0][1])
    assert found[0][0] != found[1][0]


class TestWeightsThatChangeDuringARun:
    def test_end_it_before_a_vector_is_kept(self, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = save_bert(tmp_path / "other", "BertModel", seed=7)
        prepare, encoder = DenseEncoder.prepare_texts, opened(bert)
        expected = encoder.encode(TEXTS, "query")

        def overwriting(self: DenseEncoder, texts: Sequence[str], role: Role) -> Callable[[], Vectors]:
            # As `cp` does: into the file that is there.
            (bert / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
            return prepare(self, texts, role)

        monkeypatch.setattr(DenseEncoder, "prepare_texts", overwriting)
        with pytest.raises(RetrieverError, match=r"model\.safetensors has been changed while it was in use"):
            embed(encoder, GROUPS, VectorStore(tmp_path / "cache"), Silence())
        assert not list((tmp_path / "cache").rglob("*.safetensors"))
        np.testing.assert_array_equal(prepare(encoder, TEXTS, "query")(), expected)

    def test_end_it_while_they_are_loaded(self, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = save_bert(tmp_path / "other", "BertModel", seed=7)

        def overwriting(folder: Path, *arguments: object, **named: object) -> object:
            shutil.copy(other / "model.safetensors", bert / "model.safetensors")
            return load(folder, *arguments, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(dense, "load", overwriting)
        with pytest.raises(RetrieverError, match=r"model\.safetensors has been changed while it was in use"):
            opened(bert)

    @pytest.mark.parametrize("change", ["replaced", "removed"])
    def test_are_told_however_they_change(self, change: str, bert: Path, tmp_path: Path) -> None:
        encoder = opened(bert)
        members.check_files(encoder)
        if change == "removed":
            (bert / "model.safetensors").unlink()
        else:
            (tmp_path / "new").write_bytes((bert / "model.safetensors").read_bytes())
            (tmp_path / "new").replace(bert / "model.safetensors")
        with pytest.raises(RetrieverError, match="start the run again"):
            members.check_files(encoder)


class TestKeys:
    @pytest.mark.parametrize("library", ["torch", "transformers", "tokenizers", "sentence-transformers"])
    def test_vectors_of_another_version_are_encoded_again(
        self, library: str, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mlbench.io import libraries

        encoder, version = opened(bert), libraries.version
        fingerprint = encoder.fingerprint("query")
        assert self.encoded(encoder, tmp_path) == len(set(TEXTS))
        assert self.encoded(encoder, tmp_path) == 0
        monkeypatch.setattr(libraries, "version", lambda name: "99.0" if name == library else version(name))
        assert self.encoded(encoder, tmp_path) == len(set(TEXTS))
        assert encoder.fingerprint("query") == fingerprint

    def test_a_library_that_has_no_part_in_it_changes_nothing(
        self, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mlbench.io import libraries

        encoder, version = opened(bert), libraries.version
        self.encoded(encoder, tmp_path)
        monkeypatch.setattr(libraries, "version", lambda name: "99.0" if name == "pillow" else version(name))
        assert self.encoded(encoder, tmp_path) == 0

    def test_vectors_of_other_batches_are_encoded_again(self, bert: Path, tmp_path: Path) -> None:
        assert self.encoded(opened(bert), tmp_path) == len(set(TEXTS))
        assert self.encoded(opened(bert, batch_tokens="7"), tmp_path) == len(set(TEXTS))

    @staticmethod
    def encoded(encoder: Encoder, cache: Path) -> int:
        return embed(encoder, GROUPS, VectorStore(cache), Silence()).encoded
