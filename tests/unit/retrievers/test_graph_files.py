"""Folders with a graph in place of weights: the vectors of ONNX Runtime and OpenVINO themselves, and those of torch."""

import json
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.retrievers.architectures import SECTIONS
from unit.retrievers.checkpoint_rows import Row, check_row
from unit.retrievers.tiny import TEXTS, save_bert

from mlbench.errors import MissingExtra, RetrieverError
from mlbench.open_model import open_retriever
from mlbench.protocols import Runtime
from mlbench.retrievers import backends
from mlbench.retrievers.dense import DenseEncoder

# A process that has computed graphs with OpenVINO must not be forked later.
pytestmark = pytest.mark.last

torch = pytest.importorskip("torch")
sentence_transformers = pytest.importorskip("sentence_transformers")
if not all(find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript", "openvino")):
    pytest.skip("needs onnx, onnxruntime, onnxscript and openvino", allow_module_level=True)


# A graph is exported, which takes seconds.
ROWS = [
    pytest.param(row, id=row.name, marks=[pytest.mark.slow] * (row.name == "ONNX alone"))
    for row in SECTIONS["Graphs in place of weights"]
]


def opened(folder: Path, runtime: Runtime | None = None, **settings: str) -> DenseEncoder:
    encoder = open_retriever(str(folder), settings, runtime or Runtime(threads=1))
    assert isinstance(encoder, DenseEncoder)
    return encoder


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with pooling, a layer and prompts."""
    from sentence_transformers.base.modules import Dense as Layer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    bert = save_bert(tmp_path_factory.mktemp("bert") / "bert", "BertModel")
    torch.manual_seed(4)
    modules = [Transformer(str(bert), max_seq_length=20), Pooling(32, "cls"), Layer(32, 24), Normalize()]
    folder = tmp_path_factory.mktemp("saved") / "saved"
    prompts = {"query": "cat: ", "document": "mat: "}
    sentence_transformers.SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="module")
def graph(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The transformer as a graph of ONNX."""
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    model = sentence_transformers.SentenceTransformer(str(base), device="cpu")
    backends.export_graph(model, backends.watch_call(model), path)
    return path


@pytest.fixture(scope="module")
def folders(base: Path, graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The model with graphs in place of weights: of Sentence Transformers, and of the transformer alone."""
    root = tmp_path_factory.mktemp("folders")
    core = backends._core()
    found = {name: root / name for name in ("onnx", "openvino", "plain onnx", "plain openvino")}
    for name, folder in found.items():
        if name.startswith("plain"):
            folder.mkdir()
            for each in ("config.json", "tokenizer.json", "tokenizer_config.json"):
                shutil.copy(base / each, folder)
        else:
            shutil.copytree(
                base, folder, ignore=lambda place, names: ["model.safetensors"] if place == str(base) else []
            )
        if name.endswith("onnx"):
            (folder / "onnx").mkdir()
            shutil.copy(graph, folder / "onnx" / "model.onnx")
        else:
            import openvino

            (folder / "openvino").mkdir()
            openvino.save_model(
                core.read_model(graph), folder / "openvino" / "openvino_model.xml", compress_to_fp16=False
            )
    return found


def as_text_vectors(graph: Path, target: Path, *, states: bool) -> None:
    """Write a graph that also gives the largest state of each text, as a pooling of its own."""
    import onnx

    model = onnx.load(graph)
    [output] = model.graph.output
    model.graph.node.append(
        onnx.helper.make_node("ReduceMax", [output.name, "axes"], ["sentence_embedding"], keepdims=0)
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "axes"))
    pooled = onnx.helper.make_tensor_value_info("sentence_embedding", onnx.TensorProto.FLOAT, ["texts", 32])
    if not states:
        del model.graph.output[:]
    model.graph.output.append(pooled)
    target.parent.mkdir(exist_ok=True)
    onnx.save(model, target)


def direct(graph: Path, texts: list[str], folder: Path, output: int = 0) -> list[np.ndarray]:
    """Return what ONNX Runtime makes of each text alone."""
    import onnxruntime
    import transformers

    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    names = {each.name for each in session.get_inputs()}
    found = []
    for text in texts:
        features = tokenizer(text, return_tensors="np", truncation=True)
        found.append(session.run(None, {name: value for name, value in features.items() if name in names})[output][0])
    return found


class TestVectors:
    @pytest.mark.slow
    @pytest.mark.parametrize("backend", ["onnx", "openvino"])
    def test_same_as_torch(self, backend: str, folders: Mapping[str, Path], base: Path) -> None:
        found, wanted = opened(folders[backend]), opened(base)
        assert found.parameters["backend"] == backend
        for role in ("query", "document"):
            np.testing.assert_allclose(found.encode(TEXTS, role), wanted.encode(TEXTS, role), atol=1e-5)
        assert found.longest_input("query") == wanted.longest_input("query") == 20
        names = ("pooling", "max_length", "query_prompt", "document_prompt", "similarity")
        assert [found.parameters[name] for name in names] == [wanted.parameters[name] for name in names]

    def test_same_as_onnx_runtime_itself(self, folders: Mapping[str, Path]) -> None:
        folder = folders["plain onnx"]
        wanted = np.stack([states.mean(axis=0) for states in direct(folder / "onnx" / "model.onnx", TEXTS, folder)])
        np.testing.assert_allclose(opened(folder).encode(TEXTS, "query"), wanted, atol=1e-6)

    @pytest.mark.parametrize("settings", [{}, {"pooling": "cls", "max_length": "9", "truncate_dim": "5"}])
    @pytest.mark.parametrize("backend", ["onnx", "openvino"])
    def test_keys_do_what_they_do_with_torch(
        self, settings: dict[str, str], backend: str, base: Path, folders: Mapping[str, Path], tmp_path: Path
    ) -> None:
        folder = folders[f"plain {backend}"]
        with_weights = shutil.copytree(folder, tmp_path / "torch")
        shutil.copy(base / "model.safetensors", with_weights)
        found, wanted = opened(folder, **settings), opened(with_weights, **settings)
        assert wanted.parameters["backend"] == "torch"
        np.testing.assert_allclose(found.encode(TEXTS, "query"), wanted.encode(TEXTS, "query"), atol=1e-5)

    @pytest.mark.parametrize("states", [True, False])
    def test_a_graph_that_pools_is_taken_at_its_word(
        self, states: bool, folders: Mapping[str, Path], tmp_path: Path
    ) -> None:
        folder = shutil.copytree(folders["plain onnx"], tmp_path / "pooled")
        path = folder / "onnx" / "model.onnx"
        as_text_vectors(folders["onnx"] / "onnx" / "model.onnx", path, states=states)
        found = opened(folder)
        wanted = np.stack(direct(path, TEXTS, folder, output=1 if states else 0))
        assert found.parameters["pooling"] is None
        np.testing.assert_allclose(found.encode(TEXTS, "query"), wanted, atol=1e-6)
        if states:
            tokens = np.stack([each.mean(axis=0) for each in direct(path, TEXTS, folder)])
            np.testing.assert_allclose(opened(folder, pooling="mean").encode(TEXTS, "query"), tokens, atol=1e-6)
        else:
            with pytest.raises(RetrieverError, match="pooling=mean: the checkpoint has no pooling"):
                opened(folder, pooling="mean")

    def test_positions_are_counted_from_the_mask(self, folders: Mapping[str, Path], tmp_path: Path) -> None:
        import onnx

        folder = shutil.copytree(folders["plain onnx"], tmp_path / "positions")
        model = onnx.load(folder / "onnx" / "model.onnx")
        [output] = model.graph.output
        axes = [dimension.dim_param for dimension in output.type.tensor_type.shape.dim[:2]]
        model.graph.input.append(onnx.helper.make_tensor_value_info("position_ids", onnx.TensorProto.INT32, axes))
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2], np.int64), "last"))
        model.graph.node.extend(
            [
                onnx.helper.make_node("Cast", ["position_ids"], ["floats"], to=onnx.TensorProto.FLOAT),
                onnx.helper.make_node("Unsqueeze", ["floats", "last"], ["column"]),
                onnx.helper.make_node("Add", [output.name, "column"], ["token_embeddings"]),
            ]
        )
        output.name = "token_embeddings"
        onnx.save(model, folder / "onnx" / "model.onnx")
        plain, found = opened(folders["plain onnx"]), opened(folder)
        lengths = np.array([len(found._model.tokenizer(text, truncation=True)["input_ids"]) for text in TEXTS])
        wanted = plain.encode(TEXTS, "query") + (lengths[:, None] - 1) / 2
        np.testing.assert_allclose(found.encode(TEXTS, "query"), wanted, atol=1e-5)

    def test_half_precision_is_handed_over_in_float32(self, folders: Mapping[str, Path], tmp_path: Path) -> None:
        import onnx

        folder = shutil.copytree(folders["plain onnx"], tmp_path / "half")
        model = onnx.load(folder / "onnx" / "model.onnx")
        [output] = model.graph.output
        model.graph.node.append(onnx.helper.make_node("Cast", [output.name], ["half"], to=onnx.TensorProto.FLOAT16))
        output.name, output.type.tensor_type.elem_type = "half", onnx.TensorProto.FLOAT16
        onnx.save(model, folder / "onnx" / "model.onnx")
        found = opened(folder).encode(TEXTS, "query")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, opened(folders["plain onnx"]).encode(TEXTS, "query"), atol=1e-2)

    def test_int8_does_not_depend_on_the_batch(self, folders: Mapping[str, Path], tmp_path: Path) -> None:
        from onnxruntime.quantization import quantize_dynamic

        folder = shutil.copytree(folders["plain onnx"], tmp_path / "int8")
        path = folder / "onnx" / "model_quantized.onnx"
        quantize_dynamic(str(folder / "onnx" / "model.onnx"), str(path))
        found = opened(folder, graph="onnx/model_quantized.onnx")
        together = found.encode(TEXTS, "query")
        for text, vector in zip(TEXTS, together, strict=True):
            np.testing.assert_allclose(found.encode([text], "query")[0], vector, atol=1e-6)
        wanted = np.stack([states.mean(axis=0) for states in direct(path, TEXTS, folder)])
        np.testing.assert_allclose(together, wanted, atol=1e-6)
        assert np.abs(together - opened(folder).encode(TEXTS, "query")).max() > 1e-3
        assert found.parameters["graph"] == "onnx/model_quantized.onnx"


class TestChoice:
    def test_a_warning_says_what_is_computed(self, folders: Mapping[str, Path]) -> None:
        found = opened(folders["onnx"])
        assert "no weights for torch: onnx/model.onnx is computed by onnx" in found.warnings
        assert opened(folders["onnx"], graph="onnx/model.onnx").warnings == ()

    def test_weights_come_first(self, base: Path, folders: Mapping[str, Path], tmp_path: Path) -> None:
        both = shutil.copytree(folders["onnx"], tmp_path / "both")
        shutil.copy(base / "model.safetensors", both)
        assert opened(both).parameters["backend"] == "torch"
        named = opened(both, graph="onnx/model.onnx")
        assert named.parameters["graph"] == "onnx/model.onnx"
        # Weights that are not read do not count.
        assert named.fingerprint("query") == opened(folders["onnx"]).fingerprint("query")

    def test_openvino_computes_graphs_of_onnx(self, folders: Mapping[str, Path]) -> None:
        for settings in ({"backend": "openvino"}, {"backend": "openvino", "graph": "onnx/model.onnx"}):
            found = opened(folders["onnx"], **settings)
            assert (found.parameters["backend"], found.parameters["graph"]) == ("openvino", "onnx/model.onnx")

    def test_what_is_installed_is_chosen(self, folders: Mapping[str, Path], tmp_path: Path, monkeypatch: Any) -> None:
        both = shutil.copytree(folders["onnx"], tmp_path / "both")
        shutil.copytree(folders["openvino"] / "openvino", both / "openvino")
        assert opened(both).parameters["backend"] == "onnx"
        monkeypatch.setattr(backends, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
        assert opened(both).parameters["backend"] == "openvino"
        with pytest.raises(MissingExtra, match=r"ONNX graphs need: pip install 'mlbench\[onnx\]'"):
            opened(folders["onnx"])

    def test_one_of_several(self, folders: Mapping[str, Path], tmp_path: Path) -> None:
        several = shutil.copytree(folders["onnx"], tmp_path / "several")
        for name in ("model_fp16", "model_O4"):
            shutil.copy(several / "onnx" / "model.onnx", several / "onnx" / f"{name}.onnx")
        assert opened(several).parameters["graph"] == "onnx/model.onnx"
        (several / "onnx" / "model.onnx").unlink()
        message = (
            r"several graphs \(onnx/model_O4.onnx, onnx/model_fp16.onnx\): choose with --set graph=onnx/model_O4.onnx"
        )
        with pytest.raises(RetrieverError, match=message):
            opened(several)
        (several / "onnx" / "model_O4.onnx").unlink()
        assert opened(several).parameters["graph"] == "onnx/model_fp16.onnx"

    def test_a_hub_repository_without_weights(
        self, folders: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import fnmatch

        copy = tmp_path / "copy"

        def download(name: str, **options: Any) -> str:
            for path in (path for path in folders["onnx"].rglob("*") if path.is_file()):
                relative = path.relative_to(folders["onnx"]).as_posix()
                allowed, ignored = options.get("allow_patterns"), options.get("ignore_patterns") or ()
                wanted = allowed is None or any(fnmatch.fnmatch(relative, each) for each in allowed)
                if wanted and not any(fnmatch.fnmatch(relative, each) for each in ignored):
                    (copy / relative).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, copy / relative)
            return str(copy)

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        found = opened(Path("someone/model-ONNX"))
        np.testing.assert_array_equal(found.encode(TEXTS, "query"), opened(folders["onnx"]).encode(TEXTS, "query"))


def test_the_registry_of_models_knows_a_graph_too(folders: Mapping[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(folders["plain onnx"], tmp_path / "copy")
    (copy / "README.md").write_text("---\nbase_model: intfloat/multilingual-e5-small\n---\n")
    found = opened(copy)
    assert found.registry is not None
    assert found.registry.name == "intfloat/multilingual-e5-small"
    assert found.parameters["query_prompt"] == "query: "
    assert opened(copy, registry="false").parameters["query_prompt"] == ""


class TestFingerprint:
    def test_is_of_the_graph_that_is_computed(self, graph: Path, folders: Mapping[str, Path], tmp_path: Path) -> None:
        import onnx

        folder = shutil.copytree(folders["onnx"], tmp_path / "large")
        onnx.save(
            onnx.load(graph),
            folder / "onnx" / "model.onnx",
            save_as_external_data=True,
            location="model.onnx_data",
            size_threshold=1024,
        )
        shutil.copy(folder / "onnx" / "model.onnx", folder / "onnx" / "model_fp16.onnx")
        (folder / "onnx" / "model_fp16.onnx_data").write_bytes(b"of another graph")
        before = opened(folder)
        np.testing.assert_allclose(
            before.encode(TEXTS, "query"), opened(folders["onnx"]).encode(TEXTS, "query"), atol=1e-6
        )
        (folder / "onnx" / "model_fp16.onnx_data").write_bytes(b"changed")
        assert opened(folder).fingerprint("query") == before.fingerprint("query")
        content = bytearray((folder / "onnx" / "model.onnx_data").read_bytes())
        content[len(content) // 2] ^= 1
        (folder / "onnx" / "model.onnx_data").write_bytes(content)
        with pytest.raises(RetrieverError, match=r"model.onnx_data has been changed while it was in use"):
            before.check_files()
        assert opened(folder).fingerprint("query") != before.fingerprint("query")

    def test_differs_by_backend(self, folders: Mapping[str, Path]) -> None:
        found = {opened(folders["onnx"], backend=each).fingerprint("query") for each in ("onnx", "openvino")}
        assert len(found) == 2


def only_logits(folder: Path) -> None:
    import onnx

    model = onnx.load(folder / "onnx" / "model.onnx")
    [output] = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["logits" if name == output.name else name for name in node.output]
        node.input[:] = ["logits" if name == output.name else name for name in node.input]
    output.name = "logits"
    onnx.save(model, folder / "onnx" / "model.onnx")


def more_inputs(folder: Path) -> None:
    import onnx

    model = onnx.load(folder / "onnx" / "model.onnx")
    model.graph.input.append(onnx.helper.make_tensor_value_info("past_key_values.0.key", onnx.TensorProto.FLOAT, [1]))
    onnx.save(model, folder / "onnx" / "model.onnx")


@pytest.mark.parametrize(
    ("damage", "settings", "message"),
    [
        (only_logits, {}, "the graph gives logits, neither states of tokens"),
        (more_inputs, {}, r"the graph takes more than tokens: past_key_values.0.key"),
        (lambda folder: (folder / "onnx" / "model.onnx").write_bytes(b"no graph"), {}, "onnxruntime refuses the graph"),
        (lambda folder: (folder / "config.json").unlink(), {}, "no config.json, which the graph onnx/model.onnx needs"),
        (lambda folder: [path.unlink() for path in folder.glob("tokenizer*")], {}, "no tokenizer"),
        (lambda folder: None, {"graph": "onnx/model_q4.onnx"}, "no such graph in .*; it has onnx/model.onnx"),
        (lambda folder: None, {"graph": "../model.onnx"}, "no such graph"),
        (lambda folder: None, {"graph": "config.json"}, "no such graph"),
        (lambda folder: None, {"graph": "onnx/model.onnx", "backend": "torch"}, "backend=torch does not compute it"),
        (lambda folder: None, {"backend": "torch"}, r"no file named model.safetensors"),
        (lambda folder: None, {"dtype": "bf16"}, "dtype=bf16: backend=onnx computes in fp32"),
    ],
)
def test_faults_are_told_in_one_line(
    damage: Any, settings: dict[str, str], message: str, folders: Mapping[str, Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(folders["onnx"], tmp_path / "copy")
    damage(copy)
    with pytest.raises(RetrieverError, match=message) as caught:
        opened(copy, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("number", "kind"), [(0, "mine.Transformer"), (2, "mine.Layer")])
def test_code_beside_a_graph_is_not_run(number: int, kind: str, folders: Mapping[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(folders["onnx"], tmp_path / "copy")
    modules = json.loads((copy / "modules.json").read_text())
    modules[number]["type"] = kind
    (copy / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(RetrieverError, match=rf"names code of the checkpoint's own \({kind}\)"):
        opened(copy)
    trusted = Runtime(threads=1, trust_remote_code=True)
    with pytest.raises(RetrieverError, match=r"is code of its own, which is not run|begins with a mine.Transformer"):
        opened(copy, trusted)


def test_code_of_a_network_does_not_matter_where_a_graph_stands_for_it(
    folders: Mapping[str, Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(folders["onnx"], tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "mine.Mine"}}))
    np.testing.assert_array_equal(opened(copy).encode(TEXTS, "query"), opened(folders["onnx"]).encode(TEXTS, "query"))


@pytest.mark.parametrize("row", ROWS)
def test_row_of_the_table_of_architectures(row: Row, tmp_path: Path) -> None:
    check_row(row, tmp_path / "checkpoint")
