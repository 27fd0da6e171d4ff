"""Adapters of peft: the vectors of the libraries, and of weights merged by hand."""

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.retrievers.tiny import SMALL, TEXTS, save_bert, save_tokenizer

from mlbench.embeddings.encode import embed
from mlbench.embeddings.store import VectorStore
from mlbench.errors import MissingExtra, RetrieverError
from mlbench.open_model import open_retriever
from mlbench.protocols import Runtime, Silence
from mlbench.retrievers import adapters
from mlbench.retrievers.dense import DenseEncoder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")
peft = pytest.importorskip("peft")

LAYERS = ["query", "value"]
KINDS: dict[str, Any] = {
    "lora": lambda: peft.LoraConfig(r=4, lora_alpha=8, target_modules=LAYERS, task_type="FEATURE_EXTRACTION"),
    "dora": lambda: peft.LoraConfig(r=4, use_dora=True, target_modules=LAYERS),
    "rslora": lambda: peft.LoraConfig(r=4, use_rslora=True, target_modules=LAYERS, bias="lora_only"),
    "ia3": lambda: peft.IA3Config(target_modules=[*LAYERS, "dense"], feedforward_modules=["dense"]),
    "loha": lambda: peft.LoHaConfig(r=4, target_modules=LAYERS),
    "saved": lambda: peft.LoraConfig(r=4, target_modules=LAYERS, modules_to_save=["word_embeddings"]),
}


def disturb(model: Any, seed: int = 5) -> None:
    """Give all that is trained other values than those which change nothing."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad or any(part in name for part in ("lora_", "hada_", "ia3_")):
                parameter.add_(torch.randn_like(parameter) * 0.2)


def save_adapter(folder: Path, base: Path, kind: str = "lora", **options: Any) -> Path:
    """Write an adapter of peft alone: no tokenizer, no configuration of a model."""
    model = peft.get_peft_model(transformers.AutoModel.from_pretrained(base), KINDS[kind]())
    disturb(model)
    model.save_pretrained(folder, **options)
    return folder


def opened(folder: Path | str, runtime: Runtime | None = None, **settings: str) -> DenseEncoder:
    encoder = open_retriever(str(folder), settings, runtime or Runtime(device="cpu"))
    assert isinstance(encoder, DenseEncoder)
    return encoder


def by_hand(adapter: Path, base: Path) -> np.ndarray:
    """Return the mean states of each text alone, by transformers and peft, with the adapter merged into its base."""
    model = peft.PeftModel.from_pretrained(transformers.AutoModel.from_pretrained(base), adapter)
    model = model.merge_and_unload().eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    with torch.no_grad():
        found = [model(**tokenizer(text, return_tensors="pt", truncation=True))[0][0].mean(dim=0) for text in TEXTS]
    return torch.stack(found).numpy()


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("base") / "bert", "BertModel")


@pytest.fixture(scope="module")
def e5(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with pooling, a layer and prompts, as Sentence Transformers saves it."""
    from sentence_transformers.base.modules import Dense as Layer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    torch.manual_seed(4)
    modules = [Transformer(str(base), max_seq_length=20), Pooling(32, "cls"), Layer(32, 24), Normalize()]
    prompts = {"query": "cat: ", "document": "mat: "}
    folder = tmp_path_factory.mktemp("e5") / "e5"
    sentence_transformers.SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="module")
def lora(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(tmp_path_factory.mktemp("lora") / "lora", base)


@pytest.fixture(scope="module")
def saved_by_library(e5: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What sentence-transformers saves of a model with an adapter."""
    model = sentence_transformers.SentenceTransformer(str(e5), device="cpu")
    model.add_adapter(KINDS["lora"]())
    disturb(model)
    folder = tmp_path_factory.mktemp("library") / "adapter"
    model.save(str(folder))
    assert not (folder / "config.json").exists()
    return folder


class TestVectors:
    @pytest.mark.parametrize("kind", KINDS)
    def test_same_as_merged_by_hand(self, kind: str, base: Path, tmp_path: Path) -> None:
        adapter = save_adapter(tmp_path / "adapter", base, kind)
        found = opened(adapter).encode(TEXTS, "query")
        np.testing.assert_allclose(found, by_hand(adapter, base), atol=1e-5)
        assert np.abs(found - opened(base).encode(TEXTS, "query")).max() > 1e-2

    def test_same_as_the_library(self, saved_by_library: Path, e5: Path) -> None:
        found = opened(saved_by_library)
        library = sentence_transformers.SentenceTransformer(str(saved_by_library), device="cpu")
        for role, prompt in (("query", "cat: "), ("document", "mat: ")):
            wanted = library.encode(TEXTS, prompt=prompt, show_progress_bar=False)
            np.testing.assert_allclose(found.encode(TEXTS, role), wanted, atol=1e-5)
        assert found.parameters["max_length"] == 20
        assert np.abs(found.encode(TEXTS, "query") - opened(e5).encode(TEXTS, "query")).max() > 1e-2

    def test_pooling_and_prompts_come_from_the_base(self, e5: Path, tmp_path: Path) -> None:
        library = sentence_transformers.SentenceTransformer(str(e5), device="cpu")
        adapter = save_adapter(tmp_path / "adapter", e5)
        found = opened(adapter)
        library[0].auto_model.load_adapter(str(adapter))
        wanted = library.encode(TEXTS, prompt="cat: ", show_progress_bar=False)
        np.testing.assert_allclose(found.encode(TEXTS, "query"), wanted, atol=1e-5)
        assert (found.parameters["pooling"], found.dim, found.parameters["max_length"]) == ("cls", 24, 20)

    def test_a_tokenizer_beside_the_adapter_is_its_own(self, base: Path, lora: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(lora, tmp_path / "adapter")
        save_tokenizer(copy)
        change(copy / "tokenizer_config.json", model_max_length=5)
        assert opened(lora).parameters["max_length"] == 64
        assert opened(copy).parameters["max_length"] == 5

    def test_weights_of_the_base_may_lie_beside_those_of_the_adapter(
        self, base: Path, lora: Path, tmp_path: Path
    ) -> None:
        whole = shutil.copytree(base, tmp_path / "whole")
        for path in lora.iterdir():
            shutil.copy(path, whole)
        change(whole / "adapter_config.json", base_model_name_or_path="/gone")
        np.testing.assert_array_equal(opened(whole).encode(TEXTS, "query"), opened(lora).encode(TEXTS, "query"))

    def test_a_configuration_beside_the_adapter_is_no_model(self, base: Path, lora: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(lora, tmp_path / "adapter")
        shutil.copy(base / "config.json", copy)
        np.testing.assert_array_equal(opened(copy).encode(TEXTS, "query"), opened(lora).encode(TEXTS, "query"))

    def test_an_adapter_of_a_larger_model_is_put_on_the_transformer_inside(self, tmp_path: Path) -> None:
        torch.manual_seed(3)
        options = {
            **SMALL,
            "num_hidden_layers": 1,
            "intermediate_size": 64,
            "pad_token_id": 0,
            "initializer_range": 0.4,
        }
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**options))
        model.save_pretrained(tmp_path / "base")
        save_tokenizer(tmp_path / "base")
        model = peft.get_peft_model(
            transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base"),
            peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"),
        )
        disturb(model)
        model.save_pretrained(tmp_path / "adapter")
        model.eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "base")
        with torch.no_grad():
            states = [
                model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[-1][0, -1]
                for text in TEXTS
            ]
        found = opened(tmp_path / "adapter")
        assert found.parameters["pooling"] == "lasttoken"
        np.testing.assert_allclose(found.encode(TEXTS, "query"), torch.stack(states).numpy(), atol=1e-5)

    @pytest.mark.slow
    def test_a_backend_computes_the_adapter_too(
        self, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("onnxscript")
        monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path))
        found = opened(lora, backend="onnx")
        np.testing.assert_allclose(found.encode(TEXTS, "query"), opened(lora).encode(TEXTS, "query"), atol=1e-5)


class TestBase:
    @pytest.mark.parametrize("name", ["../base", "./base", "base"])
    def test_a_relative_name_is_meant_from_the_adapter(
        self, name: str, base: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copy = shutil.copytree(lora, tmp_path / "adapter")
        shutil.copytree(base, copy / name)
        change(copy / "adapter_config.json", base_model_name_or_path=name)
        monkeypatch.chdir(copy.parent)
        np.testing.assert_array_equal(opened("adapter").encode(TEXTS, "query"), opened(lora).encode(TEXTS, "query"))

    def test_a_hub_id_is_fetched_at_its_revision(
        self, base: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def download(name: str, **options: Any) -> str:
            asked.append((name, options["revision"]))
            return str(base)

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        copy = shutil.copytree(lora, tmp_path / "adapter")
        change(copy / "adapter_config.json", base_model_name_or_path="someone/base", revision="v2")
        np.testing.assert_array_equal(opened(copy).encode(TEXTS, "query"), opened(lora).encode(TEXTS, "query"))
        assert set(asked) == {("someone/base", "v2")}


class TestFingerprint:
    def test_all_texts_are_encoded_again_with_another_base(self, lora: Path, base: Path, tmp_path: Path) -> None:
        copy, model = shutil.copytree(lora, tmp_path / "adapter"), shutil.copytree(base, tmp_path / "base")
        change(copy / "adapter_config.json", base_model_name_or_path="../base")
        texts = sorted(set(TEXTS))
        groups = {("query", "en"): texts}

        def encoded() -> tuple[int, np.ndarray]:
            encoder = opened(copy)
            return embed(encoder, groups, VectorStore(tmp_path / "cache"), Silence()).encoded, encoder.encode(
                texts, "query"
            )

        first = encoded()
        assert (first[0], encoded()[0]) == (len(texts), 0)
        save_bert(model, "BertModel", seed=9)
        second = encoded()
        change(copy / "adapter_config.json", lora_alpha=16)
        third = encoded()
        assert (second[0], third[0]) == (len(texts), len(texts))
        assert np.abs(second[1] - first[1]).max() > 1e-2
        assert np.abs(third[1] - second[1]).max() > 1e-3


def without(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).unlink()


def with_configuration(**values: Any) -> Callable[[Path], Any]:
    return lambda folder: change(folder / "adapter_config.json", **values)


def pickled(folder: Path) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()


def without_layer(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "adapter_model.safetensors")
    save_file(
        {name: each for name, each in weights.items() if "layer.1" not in name}, folder / "adapter_model.safetensors"
    )


def renamed(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "adapter_model.safetensors")
    weights = {name.replace("layer.1", "layer.7"): each for name, each in weights.items()}
    save_file(weights, folder / "adapter_model.safetensors")


def on_an_adapter(folder: Path) -> None:
    shutil.copytree(folder, folder.parent / "first")
    change(folder / "adapter_config.json", base_model_name_or_path="../first")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without("adapter_model.safetensors"), r"no weights \(adapter_model.safetensors\)"),
        (pickled, r"pickled only \(adapter_model.bin\).*--allow-pickle"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "adapter_config.json: cannot be read"),
        (lambda folder: (folder / "adapter_config.json").write_text("[]"), "base_model_name_or_path is missing"),
        (with_configuration(base_model_name_or_path=None), "base_model_name_or_path is missing"),
        (
            with_configuration(base_model_name_or_path="/no/such"),
            "the base of the adapter is missing: no folder '/no/such'",
        ),
        (with_configuration(base_model_name_or_path="gone/base"), "the base of the adapter is missing: gone/base: "),
        (
            with_configuration(peft_type="PROMPT_TUNING"),
            "an adapter of type PROMPT_TUNING is not put on the weights",
        ),
        (with_configuration(peft_type="WHATEVER"), "an adapter of type WHATEVER is not put on the weights"),
        (with_configuration(target_modules=["no_such"]), "cannot be loaded"),
        (with_configuration(r=8), "cannot be loaded"),
        (without_layer, "the adapter does not fit its base: it lacks .*layer.1"),
        (renamed, "the adapter does not fit its base"),
        (on_an_adapter, "is an adapter too: merge that one first"),
    ],
)
def test_faults_are_told_in_one_line(
    damage: Callable[[Path], Any], message: str, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    copy = shutil.copytree(lora, tmp_path / "adapter")
    damage(copy)
    with pytest.raises(RetrieverError, match=message) as caught:
        opened(copy)
    assert "\n" not in str(caught.value)


def test_a_base_that_lacks_weights_is_told(lora: Path, base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy, model = shutil.copytree(lora, tmp_path / "adapter"), shutil.copytree(base, tmp_path / "base")
    weights = load_file(model / "model.safetensors")
    kept = {name: each for name, each in weights.items() if not name.startswith("encoder.layer.1.output")}
    save_file(kept, model / "model.safetensors", metadata={"format": "pt"})
    change(copy / "adapter_config.json", base_model_name_or_path="../base")
    with pytest.raises(RetrieverError, match=r"weights are missing, among them encoder.layer.1.output"):
        opened(copy)


def test_a_pickled_adapter_beside_the_weights_of_its_base_is_not_opened(base: Path, lora: Path, tmp_path: Path) -> None:
    whole = shutil.copytree(base, tmp_path / "whole")
    shutil.copytree(lora, whole, dirs_exist_ok=True)
    expected = opened(whole).encode(TEXTS, "query")
    pickled(whole)
    with pytest.raises(RetrieverError, match=r"pickled only \(adapter_model.bin\)"):
        opened(whole)
    allowed = opened(whole, Runtime(device="cpu", allow_pickle=True))
    np.testing.assert_array_equal(allowed.encode(TEXTS, "query"), expected)


def test_without_peft(lora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "find_spec", lambda name: None if name == "peft" else find_spec(name))
    with pytest.raises(MissingExtra, match=r"^adapters need: pip install 'mlbench\[peft\]'$"):
        opened(lora)


class TestOtherKinds:
    def test_a_cross_encoder(self, tmp_path: Path) -> None:
        from mlbench.retrievers.cross_encoder import CrossEncoding

        base = save_bert(tmp_path / "base", "BertModel")
        model = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
        options = {"modules_to_save": ["classifier"], "task_type": "SEQ_CLS"}
        model = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=LAYERS, **options))
        disturb(model)
        model.save_pretrained(tmp_path / "adapter")
        model.eval()
        pairs = list(zip(TEXTS[:9], TEXTS[9:18], strict=True))
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        with torch.no_grad():
            wanted = [float(model(**tokenizer(*pair, return_tensors="pt")).logits[0, 0]) for pair in pairs]
        found = CrossEncoding.open(str(tmp_path / "adapter"), CrossEncoding.Settings(), Runtime(device="cpu"))
        np.testing.assert_allclose(found.score(pairs), wanted, atol=1e-5)

    @pytest.mark.parametrize("kind", ["sparse", "late"])
    def test_sparse_and_late(self, kind: str, tmp_path: Path) -> None:
        classes = {"sparse": ("SparseEncoder", "BertForMaskedLM"), "late": ("MultiVectorEncoder", "BertModel")}
        name, network = classes[kind]
        base = save_bert(tmp_path / "base", network)
        build = getattr(sentence_transformers, name)
        model = build(str(base), device="cpu")
        model.add_adapter(peft.LoraConfig(r=4, target_modules=LAYERS))
        disturb(model[0])
        model.save(str(tmp_path / "adapter"))
        ours = open_retriever(f"{kind}:{tmp_path / 'adapter'}", {}, Runtime(device="cpu"))
        library = build(str(tmp_path / "adapter"), device="cpu")
        plain = build(str(base), device="cpu")
        wanted, without = (each.encode_query(TEXTS[:9]) for each in (library, plain))
        found = ours.encode(TEXTS[:9], "query")  # type: ignore[union-attr]
        if kind == "sparse":
            dense = wanted.to_dense().numpy()
            assert np.abs(dense - without.to_dense().numpy()).max() > 1e-2
            for bag, row in zip(found, dense, strict=True):
                np.testing.assert_allclose(bag.weights, row[bag.words], atol=1e-5)
                assert len(bag.words) == (row != 0).sum()
        else:
            assert np.abs(wanted[3] - without[3]).max() > 1e-2
            for tokens, row in zip(found, wanted, strict=True):
                np.testing.assert_allclose(tokens, row, atol=1e-5)
