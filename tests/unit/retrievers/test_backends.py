"""Dense encoders computed by other libraries: the vectors of torch, from a graph that is made once."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import LARGER, SMALL, TEXTS, save_bert, save_tokenizer

from mlbench.errors import MissingExtra, RetrieverError
from mlbench.io.cache import GRAPHS
from mlbench.open_model import open_retriever
from mlbench.protocols import Runtime
from mlbench.retrievers import backends
from mlbench.retrievers.dense import Dense, DenseEncoder

# A process that has computed graphs with OpenVINO and is forked later, as by torch's data loaders, may end with a
# segmentation fault.
pytestmark = pytest.mark.last

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")
# Found, but imported only when they are used: in one process of several that collect tests.
if not all(find_spec(name) for name in ("onnxruntime", "onnxscript", "openvino_telemetry")):
    pytest.skip("needs onnxruntime, onnxscript and openvino_telemetry", allow_module_level=True)

# Two threads that spin are slow beside other processes.
torch.set_num_threads(1)

LIBRARIES = ("onnx", "openvino")
# Making a graph takes seconds for each layer. Those of `bert` and `mt5`, which has a part in its first one only, have
# two.
ONE_LAYER = {"num_hidden_layers": 1}


def save(folder: Path, model: Any, side: str = "right") -> Path:
    model.save_pretrained(folder)
    save_tokenizer(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": side}))
    return folder


def bert(folder: Path) -> Path:
    return save_bert(folder, "BertModel")


def xlm_r(folder: Path) -> Path:
    torch.manual_seed(2)
    config = transformers.XLMRobertaConfig(
        **{**SMALL, **LARGER, **ONE_LAYER, "max_position_embeddings": 66}, pad_token_id=0
    )
    return save(folder, transformers.XLMRobertaModel(config))


def mt5(folder: Path) -> Path:
    torch.manual_seed(3)
    config = transformers.MT5Config(vocab_size=150, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    return save(folder, transformers.MT5ForConditionalGeneration(config))


def decoder(folder: Path) -> Path:
    torch.manual_seed(4)
    config = transformers.LlamaConfig(**{**SMALL, **ONE_LAYER}, intermediate_size=64, pad_token_id=0)
    return save(folder, transformers.LlamaForCausalLM(config), side="left")


def with_layers(folder: Path) -> Path:
    from sentence_transformers.base.modules import Dense as Layer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling

    torch.manual_seed(5)
    plain = sentence_transformers.SentenceTransformer(str(bert(folder / "plain")), device="cpu")
    modules = [plain[0], Pooling(32, "cls", include_prompt=False), Layer(32, 24), Normalize()]
    prompts = {"query": "the cat: ", "document": ""}
    sentence_transformers.SentenceTransformer(modules=modules, device="cpu", prompts=prompts).save(
        str(folder / "whole")
    )
    return folder / "whole"


CHECKPOINTS = (bert, xlm_r, mt5, decoder, with_layers)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {build.__name__: build(root / build.__name__) for build in CHECKPOINTS}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _graphs_are_made_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    export = backends.export_graph

    def export_once(model: Any, call: Any, path: Path) -> None:
        # What has more modules is `with_layers`, whose transformer is that of `bert`; either is compared with torch.
        graphs = (cache / GRAPHS).glob("bert-*/model.onnx") if len(model) > 2 else iter(())
        if graph := next(graphs, None):
            shutil.copyfile(graph, path)
        else:
            export(model, call, path)

    monkeypatch.setenv("MLBENCH_CACHE", str(cache))
    monkeypatch.setattr(backends, "export_graph", export_once)
    yield
    torch.set_num_threads(1)


def opened(folder: Path, runtime: Runtime | None = None, **settings: str) -> DenseEncoder:
    encoder = open_retriever(f"dense:{folder}", settings, runtime or Runtime(threads=1))
    assert isinstance(encoder, DenseEncoder)
    return encoder


CASES: tuple[tuple[str, dict[str, str]], ...] = (
    ("bert", {}),
    ("bert", {"pooling": "cls", "batch_tokens": "40"}),
    ("bert", {"pooling": "lasttoken", "max_length": "6"}),
    ("bert", {"truncate_dim": "5", "query_prompt": "книга ", "batch_tokens": "2000"}),
    ("xlm_r", {"batch_tokens": "60"}),
    ("mt5", {}),
    ("decoder", {"pooling": "lasttoken"}),
    ("decoder", {"pooling": "mean", "batch_tokens": "40"}),
    ("with_layers", {}),
)


@pytest.mark.slow
@pytest.mark.parametrize("backend", LIBRARIES)
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_same_vectors_as_torch(name: str, settings: dict[str, str], backend: str, saved: Mapping[str, Path]) -> None:
    ours, torchs = opened(saved[name], backend=backend, **settings), opened(saved[name], **settings)
    assert ours.dim == torchs.dim
    assert ours.parameters == torchs.parameters | {
        "backend": backend,
        "backend_versions": ours.parameters["backend_versions"],
        "batch_tokens": ours.parameters["batch_tokens"],
    }
    for role in ("query", "document"):
        found = ours.encode(TEXTS, role)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, torchs.encode(TEXTS, role), atol=1e-5)
        # What was computed in between, in other shapes, changes nothing.
        ours.encode(TEXTS[7:9], role)
        np.testing.assert_array_equal(found, ours.encode(TEXTS, role))
    assert ours.encode([], "query").shape == (0, ours.dim)


@pytest.mark.parametrize("backend", LIBRARIES)
def test_same_vectors_as_the_library(backend: str, saved: Mapping[str, Path]) -> None:
    model = sentence_transformers.SentenceTransformer(str(saved["with_layers"]), device="cpu")
    wanted = model.encode(TEXTS, prompt="the cat: ", show_progress_bar=False)
    np.testing.assert_allclose(opened(saved["with_layers"], backend=backend).encode(TEXTS, "query"), wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "decoder"])
def test_bf16_of_openvino_is_near(name: str, saved: Mapping[str, Path]) -> None:
    if "bf16" not in backends.openvino_dtypes():
        pytest.skip("this processor has no bf16")
    half = opened(saved[name], backend="openvino", dtype="bf16")
    full = opened(saved[name]).encode(TEXTS, "query")
    found = half.encode(TEXTS, "query")
    cosine = (found * full).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(full, axis=1)
    assert cosine.min() > 0.999
    assert np.abs(found - full).max() > 1e-5
    assert half.parameters["dtype"] == "bf16"


@pytest.fixture
def made(saved: Mapping[str, Path], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """An empty cache folder, and where graphs were made since: copies of the one of `bert`, made at once."""
    opened(saved["bert"], backend="onnx")
    graph = next((cache / GRAPHS).glob("bert-*/model.onnx"))
    made: list[Path] = []

    def copy(model: Any, call: Any, path: Path) -> None:
        shutil.copyfile(graph, path)
        made.append(path)

    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(backends, "export_graph", copy)
    return made


class TestFingerprint:
    @pytest.mark.slow
    def test_differs_by_backend_and_precision(self, saved: Mapping[str, Path]) -> None:
        choices = [{}, {"dtype": "bf16"}, {"backend": "onnx"}, {"backend": "openvino"}]
        if "bf16" in backends.openvino_dtypes():
            choices.append({"backend": "openvino", "dtype": "bf16"})
        found = [opened(saved["bert"], **choice).fingerprint("query") for choice in choices]
        assert len(set(found)) == len(choices)
        assert found[2] == opened(saved["bert"], backend="onnx").fingerprint("query")

    @pytest.mark.parametrize("library", ["onnxruntime", "onnxscript", "torch"])
    def test_follows_the_versions(
        self, library: str, made: list[Path], saved: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = opened(saved["bert"], backend="onnx")
        version = backends.version
        monkeypatch.setattr(backends, "version", lambda name: "0.1" if name == library else version(name))
        after = opened(saved["bert"], backend="onnx")
        assert after.fingerprint("query") != before.fingerprint("query")
        # A graph is made by other versions, and computed by any.
        assert len(made) == (1 if library == "onnxruntime" else 2)
        assert f"{library} 0.1" in str(after.parameters["backend_versions"])


class TestKept:
    def test_one_graph_for_all(self, made: list[Path], saved: Mapping[str, Path], tmp_path: Path) -> None:
        first = opened(saved["bert"], backend="onnx").encode(TEXTS, "query")
        opened(saved["bert"], backend="openvino", pooling="cls", max_length="9")
        again = opened(saved["bert"], backend="onnx").encode(TEXTS, "query")
        np.testing.assert_array_equal(first, again)
        assert len(made) == 1

        [graph] = (tmp_path / "empty" / GRAPHS).glob("bert-*/model.onnx")
        content = bytearray(graph.read_bytes())
        content[len(content) // 2] ^= 1
        graph.write_bytes(content)
        with pytest.warns(UserWarning, match="is damaged"):
            np.testing.assert_array_equal(first, opened(saved["bert"], backend="onnx").encode(TEXTS, "query"))
        assert len(made) == 2

    def test_no_graph_but_our_own(self, saved: Mapping[str, Path], tmp_path: Path) -> None:
        copy = shutil.copytree(saved["bert"], tmp_path / "copy")
        (copy / "onnx").mkdir()
        (copy / "onnx" / "model.onnx").write_bytes(b"of other weights")
        plain, beside = opened(saved["bert"], backend="onnx"), opened(copy, backend="onnx")
        assert plain.fingerprint("query") == beside.fingerprint("query")
        np.testing.assert_array_equal(plain.encode(TEXTS, "query"), beside.encode(TEXTS, "query"))

    def test_a_graph_of_other_weights_is_found_out(self, saved: Mapping[str, Path], monkeypatch: Any) -> None:
        opened(saved["bert"], backend="onnx")
        other = sentence_transformers.SentenceTransformer(str(saved["bert"]), device="cpu")
        with torch.no_grad():
            other[0].model.encoder.layer[1].output.dense.weight *= -1
        check = backends.check_graph
        monkeypatch.setattr(backends, "check_graph", lambda model, call, run, far: check(other, call, run, far))
        with pytest.raises(
            RetrieverError, match=r"backend=onnx: .* gives other states than torch \(\S+ apart\): leave"
        ):
            opened(saved["bert"], backend="onnx")


class TestRefused:
    @pytest.mark.parametrize(
        ("settings", "device", "message"),
        [
            ({"backend": "onnx", "dtype": "bf16"}, None, "dtype=bf16: backend=onnx computes in fp32 on this processor"),
            ({"backend": "onnx", "dtype": "fp16"}, None, "dtype=fp16: backend=onnx computes in fp32 on this processor"),
            ({"backend": "openvino"}, "cuda", "backend=openvino computes on the processor: leave --device cuda or"),
            ({"backend": "tensorrt"}, None, "backend: input should be 'torch', 'onnx' or 'openvino', not 'tensorrt'"),
        ],
    )
    def test_what_a_backend_cannot_do(
        self, settings: dict[str, str], device: str | None, message: str, saved: Mapping[str, Path]
    ) -> None:
        with pytest.raises(RetrieverError, match=message) as caught:
            opened(saved["bert"], Runtime(device=device, threads=1), **settings)
        assert "\n" not in str(caught.value)

    def test_what_the_processor_cannot_do(self, saved: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        class Old:
            def get_property(self, device: str, name: str) -> list[str]:
                return ["FP32", "INT8"]

        monkeypatch.setattr(backends, "_core", Old)
        with pytest.raises(RetrieverError, match="dtype=bf16: backend=openvino computes in fp32 on this processor"):
            opened(saved["bert"], backend="openvino", dtype="bf16")

    def test_a_model_without_a_transformer(self, tmp_path: Path) -> None:
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding

        save_tokenizer(tmp_path)
        fast = transformers.AutoTokenizer.from_pretrained(str(tmp_path)).backend_tokenizer
        table = StaticEmbedding(fast, embedding_dim=8)
        sentence_transformers.SentenceTransformer(modules=[table], device="cpu").save(str(tmp_path / "static"))
        with pytest.raises(RetrieverError, match="backend=onnx: the checkpoint does not begin with a transformer"):
            opened(tmp_path / "static", backend="onnx")

    @pytest.mark.slow
    def test_a_model_that_cannot_be_exported(
        self, saved: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path))
        forward = transformers.BertModel.forward

        def depends_on_data(self: Any, input_ids: Any = None, attention_mask: Any = None, **passed: Any) -> Any:
            if input_ids.sum() % 2 == 0:
                input_ids = input_ids + 1
            return forward(self, input_ids=input_ids, attention_mask=attention_mask, **passed)

        monkeypatch.setattr(transformers.BertModel, "forward", depends_on_data)
        with pytest.raises(RetrieverError, match="backend=openvino: BertModel cannot be turned into a graph") as caught:
            opened(saved["bert"], backend="openvino")
        assert "\n" not in str(caught.value)

    def test_a_model_in_memory(self, saved: Mapping[str, Path]) -> None:
        model = sentence_transformers.SentenceTransformer(str(saved["bert"]), device="cpu")
        with pytest.raises(RetrieverError, match="taken as it is: set backend where it is built"):
            Dense.adopt(model, Dense.Settings(backend="onnx"), Runtime())

    @pytest.mark.parametrize(
        ("backend", "missing", "message"),
        [
            ("onnx", "onnxruntime", r"ONNX graphs need: pip install 'mlbench\[onnx\]'"),
            ("onnx", "onnxscript", r"ONNX graphs need: pip install 'mlbench\[onnx\]'"),
            ("openvino", "openvino", r"OpenVINO graphs need: pip install 'mlbench\[openvino\]'"),
        ],
    )
    def test_without_the_extra(
        self, backend: str, missing: str, message: str, saved: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find = backends.find_spec
        monkeypatch.setattr(backends, "find_spec", lambda name: None if name == missing else find(name))
        with pytest.raises(MissingExtra, match=message):
            opened(saved["bert"], backend=backend)


class TestThreads:
    def test_of_onnx_runtime(self, saved: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        import onnxruntime

        session, seen = onnxruntime.InferenceSession, []

        def watched(path: str, options: Any, **more: Any) -> Any:
            seen.append((options.intra_op_num_threads, options.get_session_config_entry(spinning)))
            return session(path, options, **more)

        spinning = "session.intra_op.allow_spinning"
        monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
        for threads in (1, 2):
            opened(saved["bert"], Runtime(threads=threads), backend="onnx")
        assert seen == [(1, "0"), (2, "0")]

    def test_of_openvino(self, saved: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        core = backends._core()
        names = ("INFERENCE_NUM_THREADS", "INFERENCE_PRECISION_HINT", "ENABLE_CPU_PINNING")
        seen = []

        class Watched:
            read_model, get_property = core.read_model, core.get_property

            def compile_model(self, *given: Any) -> Any:
                compiled = core.compile_model(*given)
                seen.append(tuple(compiled.get_property(name) for name in names))
                return compiled

        monkeypatch.setattr(backends, "_core", Watched)
        for threads in (1, 2):
            opened(saved["bert"], Runtime(threads=threads), backend="openvino")
        assert [(threads, pinned) for threads, _, pinned in seen] == [(1, False), (2, False)]
        assert all("float32" in str(precision) or "f32" in str(precision) for _, precision, _ in seen)


REPORTER = """\
from pathlib import Path
Path(__file__).with_name("imported").touch()
class Telemetry:
    def __init__(self, *given, **named): self.backend = self; self.app_name = named.get("app_name")
    def __getattr__(self, name): return lambda *given, **named: Path(__file__).with_name("reported").touch()
"""
COMPUTE = """\
import sys
from pathlib import Path
import numpy as np
from mlbench.retrievers.backends import open_openvino
inputs = {name: np.ones((2, 3), np.int64) for name in ("input_ids", "attention_mask")}
assert open_openvino(Path(sys.argv[2]), "fp32", 1)(inputs).shape == (2, 3, 32)
assert "openvino" in sys.modules
"""
ENCODE = """\
import sys
from mlbench.protocols import Runtime
from mlbench.open_model import open_retriever
vectors = open_retriever(sys.argv[1], {"backend": "openvino"}, Runtime(threads=1)).encode(["the cat"], "query")
assert vectors.shape == (1, 32)
assert "openvino" in sys.modules
"""


@pytest.mark.parametrize(
    ("program", "reported"),
    [
        pytest.param("import openvino", True, id="alone"),
        pytest.param(COMPUTE, False, id="by us"),
        # The same with torch, which takes far longer to import.
        pytest.param(ENCODE, False, id="by us, as a retriever", marks=pytest.mark.slow),
    ],
)
def test_openvino_reports_nothing(
    program: str, reported: bool, saved: Mapping[str, Path], cache: Path, tmp_path: Path
) -> None:
    opened(saved["bert"], backend="openvino")
    package = tmp_path / "openvino_telemetry"
    (package / "backend").mkdir(parents=True)
    (package / "__init__.py").write_text(REPORTER)
    (package / "backend" / "__init__.py").write_text("backend_ga4 = None")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "HOME": str(tmp_path)}
    graph = next((cache / GRAPHS).glob("bert-*/model.onnx"))
    command = [sys.executable, "-c", program, str(saved["bert"]), str(graph)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [(package / name).exists() for name in ("imported", "reported")] == [reported, reported]
    assert not (tmp_path / "intel").exists()
