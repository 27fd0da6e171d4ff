"""Static encoders against the library's own `encode`, and against a plain loop in float64."""

import json
import random
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from mlbench.errors import RetrieverError
from mlbench.protocols import Encoder, Runtime
from mlbench.retrievers import static
from mlbench.retrievers.static import Static, StaticEncoder
from mlbench.retrievers.static_checkpoint import quantise, to_int8

WORDS = ["the", "cat", "sat", "mat", "Straße", "größte", "世界", "最高", "ทดสอบ", "किताब", "книга", "где?", "1984"]
TEXTS = [" ".join(random.Random(i).choices(WORDS, k=1 + i % 37)) for i in range(150)] + [" two  blanks ", "cat " * 700]
NORMALIZE = "sentence_transformers.models.Normalize"
library = pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs sentence-transformers")


def subwords() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=120, special_tokens=["[PAD]", "[UNK]"]))
    return tokenizer


TOKENIZER = subwords()
TABLE = np.random.RandomState(0).normal(0, 1, (TOKENIZER.get_vocab_size(), 24)).astype(np.float32)


def write(
    folder: Path,
    tensors: dict[str, np.ndarray] | None = None,
    *,
    place: str = "0_StaticEmbedding",
    kind: str = "sentence_transformers.models.StaticEmbedding",
    more: tuple[str, ...] = (),
    **configuration: Any,
) -> Path:
    """Write a static checkpoint without torch, as an older version of the library did."""
    (folder / place).mkdir(parents=True, exist_ok=True)
    modules = [{"idx": 0, "name": "0", "path": place, "type": kind}]
    modules += [{"idx": n, "name": str(n), "path": f"{n}_More", "type": each} for n, each in enumerate(more, 1)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(configuration))
    TOKENIZER.save(str(folder / place / "tokenizer.json"))
    save_file({"embedding.weight": TABLE} if tensors is None else tensors, folder / place / "model.safetensors")
    return folder


def opened(folder: Path | str, runtime: Runtime | None = None, **keys: Any) -> StaticEncoder:
    return Static.open(str(folder), Static.Settings(**keys), runtime or Runtime())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("static"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> StaticEncoder:
    return opened(folder)


class TestVectors:
    @library
    @pytest.mark.parametrize("normalised", [False, True])
    @pytest.mark.parametrize("options", [{}, {"truncate_dim": 7}, {"prompts": {"query": "где? ", "passage": "the "}}])
    def test_same_as_the_library_of_what_it_saved(
        self, normalised: bool, options: dict[str, Any], tmp_path: Path
    ) -> None:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Normalize
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding

        modules = [StaticEmbedding(TOKENIZER, embedding_weights=TABLE), *([Normalize()] if normalised else [])]
        SentenceTransformer(modules=modules, device="cpu", **options).save(str(tmp_path / "saved"))
        assert Static.recognises(tmp_path / "saved")
        ours, theirs = opened(tmp_path / "saved"), SentenceTransformer(str(tmp_path / "saved"), device="cpu")
        prompts = options.get("prompts", {})
        for role, prompt in (("query", prompts.get("query", "")), ("document", prompts.get("passage", ""))):
            expected = theirs.encode(TEXTS, prompt=prompt, normalize_embeddings=True, show_progress_bar=False)
            found = ours.encode(TEXTS, role)
            assert (found.dtype, found.shape) == (np.float32, (len(TEXTS), options.get("truncate_dim", 24)))
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)

    @library
    @pytest.mark.parametrize("place", ["", "0_StaticEmbedding"])
    def test_same_as_the_library_of_what_we_write(self, place: str, tmp_path: Path) -> None:
        from sentence_transformers import SentenceTransformer

        folder = write(tmp_path, place=place, more=(NORMALIZE,))
        (tmp_path / "1_More").mkdir()
        theirs = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, show_progress_bar=False)
        np.testing.assert_allclose(opened(folder).encode(TEXTS, "query"), theirs, rtol=0, atol=1e-6)

    def test_same_as_a_plain_loop(self, encoder: StaticEncoder) -> None:
        for text, vector in zip(TEXTS, encoder.encode(TEXTS, "document"), strict=True):
            ids = TOKENIZER.encode(text, add_special_tokens=False).ids
            mean = TABLE.astype(np.float64)[ids].mean(axis=0)
            np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), rtol=0, atol=1e-5)

    @given(st.lists(st.text(st.sampled_from("the cat世界где?\ud800\n"), max_size=40), max_size=8), st.randoms())
    def test_a_text_has_the_same_bits_in_any_batch(
        self, encoder: StaticEncoder, texts: list[str], shuffled: random.Random
    ) -> None:
        together = encoder.encode(texts, "query")
        order = list(range(len(texts)))
        shuffled.shuffle(order)
        np.testing.assert_array_equal(encoder.encode([texts[n] for n in order], "query"), together[order])
        for text, vector in zip(texts, together, strict=True):
            np.testing.assert_array_equal(encoder.encode([text], "query")[0], vector)
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize("threads", [1, 3])
    def test_blocks_and_threads_change_nothing(
        self, encoder: StaticEncoder, monkeypatch: pytest.MonkeyPatch, threads: int
    ) -> None:
        before = encoder.tokens
        whole = encoder.encode(TEXTS, "query")
        once = encoder.tokens - before
        monkeypatch.setattr(static, "_BLOCK", 7)
        monkeypatch.setattr(encoder, "threads", threads)
        np.testing.assert_array_equal(encoder.encode(TEXTS, "query"), whole)
        assert encoder.tokens - before == 2 * once

    def test_truncation_is_that_of_the_tokenizer(self, tmp_path: Path) -> None:
        folder = write(tmp_path, place="")
        cut = Tokenizer.from_file(str(folder / "tokenizer.json"))
        cut.enable_truncation(5)
        cut.enable_padding(length=30)
        cut.save(str(folder / "tokenizer.json"))
        encoder = opened(folder)
        assert encoder.parameters["max_length"] == 5
        long = " ".join(WORDS)
        ids = TOKENIZER.encode(long).ids
        assert len(ids) > 5
        mean = TABLE[ids[:5]].mean(axis=0)
        np.testing.assert_allclose(encoder.encode([long], "query")[0], mean / np.linalg.norm(mean), atol=1e-6)
        assert encoder.tokens == 5

    def test_no_texts_give_no_vectors(self, encoder: StaticEncoder) -> None:
        assert encoder.encode([], "query").shape == (0, 24)

    def test_a_text_without_tokens_stands_in_the_middle(self, encoder: StaticEncoder) -> None:
        empty, other = encoder.encode(["", "cat"], "query")
        middle = TABLE.mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(empty, middle / np.linalg.norm(middle), atol=1e-6)
        assert (empty != other).any()

    def test_vectors_that_cancel_out_stand_in_the_middle(self, tmp_path: Path) -> None:
        table = np.zeros_like(TABLE)
        the, cat = (TOKENIZER.encode(word).ids[-1] for word in ("the", "cat"))
        table[the], table[cat] = 1, -1
        encoder = opened(write(tmp_path, {"embedding.weight": table}))
        np.testing.assert_allclose(encoder.encode(["the cat"], "query"), np.full((1, 24), 24**-0.5), atol=1e-6)

    def test_tokens_are_counted(self, folder: Path) -> None:
        encoder = opened(folder)
        encoder.encode(TEXTS, "query")
        assert encoder.tokens == sum(len(TOKENIZER.encode(text).ids) for text in TEXTS)

    @pytest.mark.parametrize("dtype", [np.float16, np.float64])
    def test_other_floats_are_read(self, dtype: type, tmp_path: Path, encoder: StaticEncoder) -> None:
        other = opened(write(tmp_path, {"embedding.weight": TABLE.astype(dtype)}))
        assert other.parameters["dtype"] == np.dtype(dtype).name
        np.testing.assert_allclose(other.encode(TEXTS, "query"), encoder.encode(TEXTS, "query"), atol=1e-3)


class TestFingerprint:
    def test_roles_differ_by_prompt_alone(self, encoder: StaticEncoder, folder: Path) -> None:
        assert encoder.fingerprint("query") == encoder.fingerprint("document")
        prompted = opened(folder, query_prompt="query: ")
        assert prompted.fingerprint("document") == encoder.fingerprint("document")
        assert prompted.fingerprint("query") != encoder.fingerprint("query")
        assert opened(folder, truncate_dim=8).fingerprint("query") != encoder.fingerprint("query")

    def test_is_of_what_decides_the_vectors(self, encoder: StaticEncoder, folder: Path, tmp_path: Path) -> None:
        copy = Path(shutil.copytree(folder, tmp_path / "copy"))
        (copy / "README.md").write_text("no part of it")
        made = {"recipe": {}, "recipe_fingerprint": "a", "data": [], "code_version": "0.1.0", "steps": 3}
        (copy / "mlbench-training.json").write_text(json.dumps({"schema_version": 1, **made}))
        assert opened(copy).fingerprint("query") == encoder.fingerprint("query")
        quantise(copy, tmp_path / "small")
        assert encoder.provenance is None
        assert opened(copy).provenance == opened(tmp_path / "small").provenance is not None
        write(copy, {"embedding.weight": TABLE * 2})
        assert opened(copy).fingerprint("query") != encoder.fingerprint("query")

    def test_follows_the_tokenizer(self, encoder: StaticEncoder, folder: Path, tmp_path: Path) -> None:
        copy = Path(shutil.copytree(folder, tmp_path / "copy"))
        path = copy / "0_StaticEmbedding" / "tokenizer.json"
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        assert opened(copy).fingerprint("query") != encoder.fingerprint("query")


class TestQuantised:
    @given(st.integers(0, 2**32 - 1), st.floats(1e-30, 1e30))
    def test_no_value_is_off_by_more_than_half_a_step(self, seed: int, size: float) -> None:
        table = (np.random.RandomState(seed).normal(0, 1, (5, 6)) * size).astype(np.float32)
        table[2] = 0
        rows, scale = to_int8(table)
        assert (rows.dtype, scale.dtype, rows.min() >= -127) == (np.int8, np.float32, True)
        assert (np.abs(rows).max(axis=1) == [127, 127, 0, 127, 127]).all()
        error = np.abs(rows.astype(np.float64) * scale[:, None] - table)
        assert (error <= scale[:, None] * (0.5 + 1e-4)).all()

    def test_is_near_and_a_quarter_of_the_size(self, folder: Path, encoder: StaticEncoder, tmp_path: Path) -> None:
        quantise(folder, tmp_path / "small")
        small = opened(tmp_path / "small")
        assert small.parameters["dtype"] == "int8"
        cosines = (small.encode(TEXTS, "query") * encoder.encode(TEXTS, "query")).sum(axis=1)
        assert cosines.min() > 0.999
        assert small.fingerprint("query") != encoder.fingerprint("query")
        names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        assert sorted(path.relative_to(tmp_path / "small") for path in (tmp_path / "small").rglob("*.*")) == names
        sizes = [(root / "0_StaticEmbedding/model.safetensors").stat().st_size for root in (folder, tmp_path / "small")]
        assert sizes[1] < sizes[0] / 3

    def test_gives_the_same_bytes(self, folder: Path, tmp_path: Path) -> None:
        quantise(folder, tmp_path / "one")
        quantise(folder, tmp_path / "two")
        for path in (tmp_path / "one").rglob("*.*"):
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
        # Rounded rows are whole steps already.
        quantise(tmp_path / "one", tmp_path / "again")
        first, again = (load_file(tmp_path / each / "0_StaticEmbedding/model.safetensors") for each in ("one", "again"))
        np.testing.assert_array_equal(first["embedding.weight"], again["embedding.weight"])

    def test_half_precision_scales_are_read(self, tmp_path: Path) -> None:
        rows, scale = to_int8(TABLE)
        half = scale.astype(np.float16)
        found = opened(write(tmp_path / "half", {"embedding.weight": rows, "embedding.scale": half}))
        table = rows.astype(np.float32) * half.astype(np.float32)[:, None]
        expected = opened(write(tmp_path / "float", {"embedding.weight": table}))
        np.testing.assert_array_equal(found.encode(TEXTS, "query"), expected.encode(TEXTS, "query"))

    def test_does_not_write_over_itself(self, folder: Path) -> None:
        with pytest.raises(RetrieverError, match="to another folder"):
            quantise(folder, folder)

    def test_says_where_nothing_can_be_written(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(RetrieverError, match=r"^.*/file/small cannot be written: Not a directory; name another"):
            quantise(folder, tmp_path / "file" / "small")


ROWS, SCALES = to_int8(TABLE)
INFINITE = np.where(np.arange(24) == 3, np.inf, TABLE).astype(np.float32)


def spoil(name: str, content: bytes | None) -> Callable[[Path], object]:
    """Return what writes other content into a file of the checkpoint, or removes the file."""

    def spoiled(folder: Path) -> None:
        write(folder, place="")
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)

    return spoiled


def pickled(folder: Path) -> None:
    write(folder, place="")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no modules": (spoil("modules.json", None), "no static checkpoint .no modules.json.; .* use dense:"),
    "broken modules": (spoil("modules.json", b"[{"), "modules.json cannot be read"),
    "no list": (spoil("modules.json", b"{}"), "modules.json is no list of modules"),
    "a list of other things": (spoil("modules.json", b"[1]"), "modules.json is no list of modules"),
    "no modules in it": (spoil("modules.json", b"[]"), "its modules are none"),
    "a transformer": (
        lambda folder: write(folder, kind="sentence_transformers.models.Transformer"),
        "its modules are Transformer.; for any other encoder use dense:",
    ),
    "a layer more": (lambda f: write(f, more=("sentence_transformers.models.Dense",)), "StaticEmbedding, Dense"),
    "sparse": (lambda f: write(f, kind="a.SparseStaticEmbedding"), "its modules are SparseStaticEmbedding"),
    "elsewhere": (lambda f: write(f / "in", place="../x"), "its module lies elsewhere"),
    "dot products": (lambda f: write(f, similarity_fn_name="dot"), "compares vectors by dot.; .* use dense:"),
    "configuration": (spoil("config_sentence_transformers.json", b"3"), "is no object"),
    "no tokenizer": (spoil("tokenizer.json", None), "no tokenizer.json; save the tokenizer"),
    "broken tokenizer": (spoil("tokenizer.json", b"{}"), "tokenizer.json: cannot be read"),
    "no weights": (spoil("model.safetensors", None), "no model.safetensors; save the model"),
    "pickled": (pickled, "weights are pickled only .pytorch_model.bin., .* save them as safetensors"),
    "broken weights": (spoil("model.safetensors", b"\x00" * 30), "model.safetensors: cannot be read"),
    "another name": (lambda f: write(f, {"table": TABLE}), "no tensor embedding.weight; write dense: in front"),
    "one axis": (lambda f: write(f, {"embedding.weight": TABLE[0]}), r"has shape \(24,\); need \(pieces, dim\)"),
    "no rows": (lambda f: write(f, {"embedding.weight": TABLE[:0]}), r"has shape \(0, 24\)"),
    "whole numbers": (lambda f: write(f, {"embedding.weight": TABLE.astype(np.int32)}), "is int32; need floating"),
    "scaled floats": (lambda f: write(f, {"embedding.weight": TABLE, "embedding.scale": SCALES}), "float32 with"),
    "no scale": (lambda f: write(f, {"embedding.weight": ROWS}), "int8 needs embedding.scale, .* not none"),
    "few scales": (lambda f: write(f, {"embedding.weight": ROWS, "embedding.scale": SCALES[1:]}), "int8 needs"),
    "NaN": (lambda f: write(f, {"embedding.weight": TABLE * np.float32("nan")}), "NaN or infinite values"),
    "infinite": (lambda f: write(f, {"embedding.weight": INFINITE}), "NaN or infinite values"),
    "infinite scales": (
        lambda f: write(f, {"embedding.weight": ROWS, "embedding.scale": SCALES * np.float32("inf")}),
        "NaN or infinite values",
    ),
    "zeros": (lambda f: write(f, {"embedding.weight": TABLE * 0}), "is all zeros"),
    "few rows": (lambda f: write(f, {"embedding.weight": TABLE[:-1]}), "tokenizer and weights are of different models"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_told_in_one_line(name: str, tmp_path: Path) -> None:
    make, message = FAULTS[name]
    make(tmp_path)
    folder = tmp_path / "in" if (tmp_path / "in").exists() else tmp_path
    with pytest.raises(RetrieverError, match=message) as raised:
        opened(folder)
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize(
    ("locator", "keys", "message"),
    [
        ("./no/folder", {}, "no folder './no/folder'"),
        ("FOLDER", {"truncate_dim": 25}, "truncate_dim=25: the checkpoint has 24 coordinates"),
        ("FOLDER", {"revision": "main"}, "only a hub id has revisions"),
    ],
)
def test_wrong_requests(locator: str, keys: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(RetrieverError, match=message):
        opened(folder if locator == "FOLDER" else locator, **keys)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (write, True),
        (pickled, True),
        (spoil("model.safetensors", b"damaged"), True),
        (lambda folder: write(folder, more=(NORMALIZE,), similarity_fn_name="dot"), True),
        (lambda folder: write(folder, {"embeddings": TABLE}), True),
        (lambda folder: write(folder, {"table": TABLE}), False),
        (lambda folder: write(folder, similarity_fn_name="dot"), False),
        (spoil("modules.json", None), False),
        (spoil("modules.json", b"\xff"), False),
    ],
)
def test_recognises(make: Callable[[Path], object], expected: bool, tmp_path: Path) -> None:
    make(tmp_path)
    assert Static.recognises(tmp_path) is expected


def test_without_a_locator_the_packaged_model_is_opened(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static, "package_files", lambda package: tmp_path)
    with pytest.raises(RetrieverError, match=r"no model comes with this mlbench: .* --model hashing"):
        opened("")
    shutil.copytree(folder, tmp_path / "default")
    assert opened("").fingerprint("query") == opened(folder).fingerprint("query")


def test_is_an_encoder(encoder: StaticEncoder) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.parameters | {"pieces": 0} == {
        "pooling": "mean",
        "pieces": 0,
        "dtype": "float32",
        "max_length": None,
        "truncate_dim": None,
        "query_prompt": "",
        "document_prompt": "",
        "similarity": "cosine",
        "backend": "numpy",
    }
