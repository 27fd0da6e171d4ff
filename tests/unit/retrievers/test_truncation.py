"""Which texts are cut off, against the tokenizers of the library without a limit."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from unit.retrievers import image_text_checkpoints as checkpoints
from unit.retrievers.albef_checkpoints import save_albef
from unit.retrievers.image_text_checkpoints import CAPTIONS
from unit.retrievers.tiny import TEXTS, WORDS, save_bert, save_tokenizer

from mlbench.open_model import open_model
from mlbench.protocols import KnowsTruncation, Role, Runtime, Silence
from mlbench.retrievers.pipelines.system import open_reranker
from mlbench.retrievers.truncation import TokenLimit, most_bytes, tokens_per_byte

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")

torch.set_num_threads(1)

RUNTIME = Runtime(device="cpu")
LONG = [" ".join(random.Random(i).choices(WORDS, k=i)) for i in range(80)]
# Ligatures of many letters, capitals that lengthen, syllables that fall apart, tokens of their own.
NASTY = [
    "ﷺ" * 9,
    "İ" * 30,
    "각나다" * 12,
    "Ⱥ" * 40,
    "½㍿ﬃ" * 15,
    "[MASK]" * 25,
    "a,b;c." * 20,
    "क़" * 20,
    "",
    " ",
]


def opened(model: object, **settings: str) -> KnowsTruncation:
    retriever = open_model(model, settings, RUNTIME, Silence()).retriever
    assert isinstance(retriever, KnowsTruncation)
    return retriever


def lengths(folder: Path, texts: list[str], prompt: str = "") -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    return np.array([len(ids) for ids in tokenizer([prompt + text for text in texts])["input_ids"]])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("plain"), "BertModel")


class TestDense:
    @pytest.mark.parametrize(
        "settings",
        [{}, {"max_length": "12"}, {"query_prompt": "the cat sat on ", "document_prompt": ""}, {"batch_tokens": "3"}],
    )
    def test_the_texts_that_the_tokenizer_cuts_off(self, plain: Path, settings: dict[str, str]) -> None:
        encoder = opened(str(plain), **settings)
        limit = int(settings.get("max_length", 64))
        sides: tuple[tuple[Role, str], ...] = (("query", settings.get("query_prompt", "")), ("document", ""))
        for role, prompt in sides:
            expected = lengths(plain, LONG + NASTY, prompt) > limit
            assert encoder.longest_input(role) == limit
            found = encoder.is_truncated(LONG + NASTY, role)
            assert found is not None
            assert found.tolist() == expected.tolist()
            assert 0 < found.sum() < len(found)

    def test_a_text_of_just_the_longest_input_is_not_cut_off(self, plain: Path) -> None:
        texts = ["a " * number for number in range(1, 90)]
        sizes = lengths(plain, texts)
        found = opened(str(plain)).is_truncated(texts, "query")
        assert found is not None
        assert {64, 66} <= set(sizes) or {64, 65} <= set(sizes)
        assert found.tolist() == (sizes > 64).tolist()

    def test_the_answer_is_of_the_text_alone(self, plain: Path) -> None:
        encoder = opened(str(plain))
        whole = encoder.is_truncated(LONG, "query")
        assert whole is not None
        assert whole.tolist() == [bool(encoder.is_truncated([text], "query")) for text in LONG]
        none = encoder.is_truncated([], "query")
        assert none is not None
        assert none.shape == (0,)

    def test_a_model_without_a_limit_cuts_nothing_off(self, tmp_path: Path) -> None:
        config = transformers.MT5Config(vocab_size=150, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
        transformers.MT5EncoderModel(config).save_pretrained(tmp_path)
        save_tokenizer(tmp_path)
        model = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu")
        model.max_seq_length = 10**30
        encoder = opened(model)
        assert encoder.longest_input("query") is None
        found = encoder.is_truncated(["a " * 3000], "query")
        assert found is not None
        assert not found.any()

    def test_a_model_that_hides_its_tokens_is_not_known(self) -> None:
        module = sentence_transformers.sentence_transformer.modules.BoW(WORDS)
        layer = sentence_transformers.base.modules.Dense(len(WORDS), 8)
        encoder = opened(sentence_transformers.SentenceTransformer(modules=[module, layer], device="cpu"))
        assert encoder.longest_input("query") is None

    def test_a_limit_of_one_role(self, plain: Path) -> None:
        model = sentence_transformers.SentenceTransformer(str(plain), device="cpu")
        model[0].query_length, model[0].document_length = 9, 30
        encoder = opened(model)
        assert (encoder.longest_input("query"), encoder.longest_input("document")) == (9, 30)
        found = encoder.is_truncated(LONG, "query")
        assert found is not None
        assert found.tolist() == (lengths(plain, LONG) > 9).tolist()

    def test_a_chat_template_counts(self, tmp_path: Path) -> None:
        config = transformers.LlamaConfig(
            vocab_size=150, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64
        )
        transformers.LlamaModel(config).save_pretrained(tmp_path)
        save_tokenizer(tmp_path)
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
        template = "{% for m in messages %}the cat sat {{ m['content'] }} on a mat{% endfor %}"
        tokenizer.chat_template = template
        tokenizer.save_pretrained(tmp_path)
        model = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu")
        encoder = opened(model)
        features = [model.preprocess([text], task="query") for text in LONG]
        whole = [
            model.preprocess([text], task="query", processing_kwargs={"text": {"truncation": False}}) for text in LONG
        ]
        expected = [
            each["input_ids"].shape[1] > cut["input_ids"].shape[1] for each, cut in zip(whole, features, strict=True)
        ]
        found = encoder.is_truncated(LONG, "query")
        assert found is not None
        assert found.tolist() == expected
        assert 0 < sum(expected) < len(expected)


class TestOtherKinds:
    @pytest.mark.parametrize("kind", ["sparse", "late"])
    def test_sparse_and_late_models(self, kind: str, tmp_path: Path) -> None:
        network = save_bert(tmp_path / "network", "BertForMaskedLM" if kind == "sparse" else "BertModel")
        build = sentence_transformers.SparseEncoder if kind == "sparse" else sentence_transformers.MultiVectorEncoder
        build(str(network), device="cpu", prompts={"query": "the ", "document": ""}).save(str(tmp_path / "saved"))
        lists = opened(f"{kind}:{tmp_path / 'saved'}")
        for role, prompt in (("query", "the "), ("document", "")):
            found = lists.is_truncated(LONG, role)
            assert found is not None
            assert found.tolist() == (lengths(network, LONG, prompt) > (lists.longest_input(role) or 0)).tolist()
            assert 0 < found.sum() < len(found)

    def test_queries_that_are_filled_up_to_a_length_are_cut_off_beyond_it(self, tmp_path: Path) -> None:
        network = save_bert(tmp_path / "network", "BertModel")
        model = sentence_transformers.MultiVectorEncoder(str(network), device="cpu")
        model[0].query_expansion = {"strategy": "fixed", "length": 16, "attend": True}
        model.save(str(tmp_path / "saved"))
        lists = opened(f"late:{tmp_path / 'saved'}")
        assert (lists.longest_input("query"), lists.longest_input("document")) == (16, 64)
        found = lists.is_truncated(LONG, "query")
        assert found is not None
        prompt = sentence_transformers.MultiVectorEncoder(str(tmp_path / "saved"), device="cpu").prompts["query"]
        assert found.tolist() == (lengths(network, LONG, prompt) > 16).tolist()

    def test_static_models_cut_off_where_their_tokenizer_does(self, tmp_path: Path) -> None:
        save_tokenizer(tmp_path)
        tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        for name, limit in (("free", None), ("cut", 9)):
            if limit:
                tokenizer.enable_truncation(limit)
            module = sentence_transformers.sentence_transformer.modules.StaticEmbedding(tokenizer, embedding_dim=16)
            sentence_transformers.SentenceTransformer(modules=[module], device="cpu").save(str(tmp_path / name))
            encoder = opened(f"static:{tmp_path / name}")
            found = encoder.is_truncated(LONG, "query")
            assert found is not None
            tokenizer.no_truncation()
            sizes = np.array([len(tokenizer.encode(text, add_special_tokens=False).ids) for text in LONG])
            assert encoder.longest_input("query") == limit
            assert found.tolist() == ((sizes > limit) if limit else np.zeros(len(LONG), bool)).tolist()

    @pytest.mark.parametrize("max_length", [None, 20])
    def test_pairs(self, tmp_path: Path, max_length: int | None) -> None:
        folder = save_bert(tmp_path, "BertForSequenceClassification", num_labels=1)
        settings = {} if max_length is None else {"max_length": str(max_length)}
        reranker: Any = open_reranker(str(folder), settings, RUNTIME)
        pairs = [(TEXTS[number % 60], LONG[(7 * number) % 80]) for number in range(200)]
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
        sizes = np.array(list(map(len, tokenizer(pairs)["input_ids"])))
        limit = max_length or 64
        assert reranker.longest_pair() == limit
        assert reranker.is_truncated_pair(pairs).tolist() == (sizes > limit).tolist()
        assert 0 < (sizes > limit).sum() < len(sizes)


IMAGE_TEXT: dict[str, Callable[[Path], Path]] = {
    "clip": checkpoints.save_clip,
    "siglip": checkpoints.save_siglip,
    "siglip2": checkpoints.save_siglip2,
    "altclip": checkpoints.save_altclip,
    "chinese clip": checkpoints.save_chinese_clip,
    "blip": checkpoints.save_blip,
    "library clip": checkpoints.save_library_clip,
}


@pytest.mark.parametrize(("name", "prefix"), [*((name, "") for name in IMAGE_TEXT), ("clip", "a red circle ")])
def test_text_towers_cut_captions_off(name: str, prefix: str, tmp_path: Path) -> None:
    folder = IMAGE_TEXT[name](tmp_path)
    encoder = opened(f"image_text:{folder}", text_prefix=prefix)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    captions = [" ".join(CAPTIONS[1:3])[:number] for number in range(0, 51, 2)] + CAPTIONS
    sizes = np.array([len(ids) for ids in tokenizer([prefix + caption for caption in captions])["input_ids"]])
    limit = 16 if name.startswith("siglip") else 20
    assert (encoder.longest_input("query"), encoder.longest_input("document")) == (limit, limit)
    found = encoder.is_truncated(captions, "query")
    assert found is not None
    assert found.tolist() == (sizes > limit).tolist()
    # The tokenizer of the small SigLIP 2 knows whole captions.
    assert found.any() == (name != "siglip2")


def test_albef_cuts_cleaned_captions_off(tmp_path: Path) -> None:
    runtime = Runtime(device="cpu", allow_pickle=True)
    encoder = open_model(f"image_text:{save_albef(tmp_path)}", {}, runtime, Silence()).retriever
    assert isinstance(encoder, KnowsTruncation)
    captions = ["A, " * number for number in range(20, 40)]
    tokenizer = transformers.BertTokenizer(vocab=str(tmp_path / "vocab.txt"))
    sizes = np.array([len(ids) for ids in tokenizer(["a " * number for number in range(20, 40)])["input_ids"]])
    assert encoder.longest_input("document") == 30
    found = encoder.is_truncated(captions, "document")
    assert found is not None
    assert found.tolist() == (sizes > 30).tolist()
    assert 0 < found.sum() < len(found)


SPECIALS = ["[UNK]", "[MASK]"]
NORMALIZERS: tuple[Callable[[], Any], ...] = (
    lambda: None,
    normalizers.NFC,
    normalizers.NFKD,
    lambda: normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Prepend("▁")]),
    lambda: normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]),
    normalizers.BertNormalizer,
    lambda: normalizers.Sequence([normalizers.Replace(" ", "▁"), normalizers.Prepend("▁")]),
)
CUTTERS: tuple[Callable[[], Any], ...] = (
    pre_tokenizers.Metaspace,
    pre_tokenizers.ByteLevel,
    pre_tokenizers.BertPreTokenizer,
    lambda: pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.Metaspace()]),
    lambda: pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
    lambda: pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=True)]),
)
MODELS: tuple[tuple[Callable[[], Any], Callable[..., Any]], ...] = (
    (lambda: models.BPE(unk_token="[UNK]", byte_fallback=True), trainers.BpeTrainer),
    (models.Unigram, lambda **options: trainers.UnigramTrainer(unk_token="[UNK]", **options)),
    (lambda: models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer),
)


@pytest.mark.parametrize("cutter", CUTTERS)
@pytest.mark.parametrize("model", MODELS)
def test_no_tokenizer_makes_more_tokens_than_bytes(cutter: Any, model: Any) -> None:
    build, trainer = model
    pieces = list("abcdefghijklmnopqrstuvwxyz0123456789.,;" + "▁")
    draw = random.Random(1)
    texts = NASTY + LONG[:20]
    texts += ["".join(chr(draw.choice((draw.randrange(32, 0x250), draw.randrange(0x900, 0xD7FF)))) for _ in range(30))]
    texts += ["".join(chr(draw.randrange(0xF900, 0x1FFFF)) for _ in range(30)) for _ in range(20)]
    for normalizer in NORMALIZERS:
        tokenizer = Tokenizer(build())
        tokenizer.pre_tokenizer = cutter()
        if normalizer() is not None:
            tokenizer.normalizer = normalizer()
        tokenizer.train_from_iterator(
            TEXTS + pieces, trainer(vocab_size=200, special_tokens=SPECIALS, show_progress=False)
        )
        factor = tokens_per_byte(tokenizer)
        if factor is None:
            # A blank that is three bytes.
            assert "▁" in str(tokenizer.normalizer)
            assert "ByteLevel" in str(tokenizer.pre_tokenizer)
            continue
        found = [len(tokenizer.encode(text).ids) for text in texts]
        assert (np.array(found) <= factor * most_bytes(texts) + 2).all()


@pytest.mark.parametrize(
    "normalizer",
    [normalizers.Replace("x", "many tokens"), normalizers.Replace(Regex("[a-z]"), "::"), normalizers.ByteLevel()],
)
def test_what_lengthens_texts_is_told_from_what_does_not(normalizer: Any) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizer])
    tokenizer.decoder = decoders.ByteLevel()
    assert tokens_per_byte(tokenizer) == (1 if isinstance(normalizer, normalizers.ByteLevel) else None)


def test_bytes_of_the_longest_form() -> None:
    texts = ["", "abc", "é", "ﷺ", "İ", "각", "\ud800", "xﷺ각"]
    assert most_bytes(texts).tolist() == [0, 3, 3, 33, 3, 9, 3, 43]
    assert most_bytes([]).tolist() == []


def test_few_texts_are_tokenised_and_few_at_once() -> None:
    asked: list[int] = []

    def words(texts: list[str]) -> Any:
        return np.array([len(text.split()) for text in texts])

    def whole(texts: list[str]) -> Any:
        asked.append(len(texts))
        return words(texts)

    def cut(texts: list[str]) -> Any:
        return np.minimum(words(texts), 50)

    tokenizer = Tokenizer(models.WordLevel())
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    limit = TokenLimit(cut, whole, 50, tokenizer=tokenizer)
    texts = ["a b c"] * 9_000 + ["a " * 50, "a " * 51, "word" * 30]
    found = limit.exceeded_by(texts)
    assert found is not None
    assert np.flatnonzero(found).tolist() == [9_001]
    # A probe, one short text, and the three that might be too long.
    assert asked == [1, 1, 3]
    asked.clear()
    long = limit.exceeded_by(["a " * 2_000_000] * 3)
    assert long is not None
    assert long.all()
    assert asked == [1, 1, 1]
