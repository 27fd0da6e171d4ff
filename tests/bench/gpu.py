"""Measures encoding and ranking on a GPU, in at most 12 minutes: `python -m tests.bench.gpu [--encoder FOLDER]`.

Encoding is that of multilingual-e5-small, from FOLDER or of its shape with random weights, and of the shape of XLM-R
large, in fp32 and bf16, against SentenceTransformer.encode of the same texts. Ranking counts what stands before one
relevant document of each query among all documents, in float64, and is compared with that of the processor. One table
is printed and one JSON written (`--out`, gpu.json). With `--device cpu`, everything is small and a trial of the script.
"""

import argparse
import json
import math
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from mlbench.embeddings.encode import embed
from mlbench.embeddings.exact import Floats, grid_cosine
from mlbench.protocols import Runtime, Silence
from mlbench.ranking.count_ahead import Block, Targets, Tiling, count_ahead, exact_scores
from mlbench.retrievers.dense import Dense
from mlbench.retrievers.load_checkpoint import quiet
from tests.bench.timing import took

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

ROUNDS = 3
BATCHES = (32, 256)
"""What the library is given: its default, and what its users take on a GPU."""
WORDS = 5_000


@dataclass(frozen=True)
class Shape:
    """A BERT or XLM-R with random weights."""

    kind: str
    layers: int
    dim: int
    heads: int
    inner: int
    vocabulary: int


@dataclass(frozen=True)
class Plan:
    """How much is measured: encoders, seconds for each, and documents that are ranked."""

    shapes: dict[str, Shape]
    dtypes: tuple[str, ...]
    encode_seconds: float
    most_texts: int
    documents: int
    dim: int
    rank_seconds: float
    sample: int
    rows: int
    columns: int


E5, XLM_R = "multilingual-e5-small", "XLM-R large, 560M"
FULL = Plan(
    shapes={
        E5: Shape("bert", 12, 384, 12, 1536, 250_037),
        XLM_R: Shape("xlm-roberta", 24, 1024, 16, 4096, 250_002),
    },
    dtypes=("float32", "bfloat16"),
    # Four encoders of 100 seconds, ranking of 150, and two minutes to build and to compare.
    encode_seconds=100.0,
    most_texts=50_000,
    documents=1_000_000,
    dim=384,
    rank_seconds=150.0,
    sample=2_000,
    rows=4096,
    columns=65_536,
)
TINY = Plan(
    shapes={E5: Shape("bert", 2, 32, 4, 64, WORDS + 4), XLM_R: Shape("xlm-roberta", 2, 64, 4, 128, WORDS + 4)},
    dtypes=("float32",),
    encode_seconds=1.0,
    most_texts=200,
    documents=3_000,
    dim=32,
    rank_seconds=1.0,
    sample=100,
    rows=512,
    columns=1024,
)


def make_texts(size: int) -> list[str]:
    """Return texts of 5 to 300 words, about as long as questions and paragraphs are."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(3.3, 0.8, size), 5, 300).astype(int)
    return [" ".join(f"w{word}" for word in random.integers(0, WORDS, length)) for length in lengths]


def build(shape: Shape, dtype: str, device: str) -> "SentenceTransformer":
    """Return an encoder of a shape, whose tokenizer knows the words of `make_texts`."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    special = ["<pad>", "<unk>", "<s>", "</s>"]
    words = {word: number for number, word in enumerate([*special, *(f"w{number}" for number in range(WORDS))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    config = AutoConfig.for_model(
        shape.kind,
        vocab_size=shape.vocabulary,
        hidden_size=shape.dim,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=514,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    with TemporaryDirectory() as folder, quiet():
        with torch.device(device):
            network = AutoModel.from_config(config, dtype=getattr(torch, dtype))
        network.save_pretrained(folder)
        names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **names).save_pretrained(folder)
        transformer = Transformer(folder, model_kwargs={"dtype": getattr(torch, dtype)})
    return SentenceTransformer(modules=[transformer, Pooling(shape.dim)], device=device)


def load(folder: str, dtype: str, device: str) -> "SentenceTransformer":
    import torch
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(folder, device=device, model_kwargs={"dtype": getattr(torch, dtype)})


def encode(model: "SentenceTransformer", plan: Plan) -> dict[str, object]:
    """Return texts per second of the library and of ours by turns, in as many texts as the time allows."""
    encoder = Dense.adopt(model, Dense.Settings(), Runtime())
    assert encoder is not None
    texts = make_texts(plan.most_texts)
    prompt = encoder.parameters["document_prompt"] or ""
    ways: dict[str, Callable[[list[str]], object]] = {
        f"library, batches of {size}": partial(_library, model, prompt=str(prompt), size=size) for size in BATCHES
    }
    ways["mlbench"] = lambda chosen: embed(encoder, {("document", "any"): chosen}, None, Silence())
    trial = texts[: max(64, plan.most_texts // 50)]
    for work in ways.values():
        work(trial[:64])
    slowest = max(took(partial(work, trial)).clock for work in ways.values()) / len(trial)
    chosen = texts[: max(64, int(plan.encode_seconds / (slowest * len(ways) * (ROUNDS + 1))))]
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, work in ways.items():
            taken[name].append(took(partial(work, chosen)).clock)
    encoder.tokens = 0
    found = embed(encoder, {("document", "any"): chosen[:256]}, None, Silence()).vectors("document", "any")
    theirs = _library(model, chosen[:256], prompt=str(prompt), size=BATCHES[0])
    best = min(BATCHES, key=lambda size: median(taken[f"library, batches of {size}"]))
    ratios = [one / ours for one, ours in zip(taken[f"library, batches of {best}"], taken["mlbench"], strict=True)]
    return {
        "texts": len(chosen),
        "tokens_per_text": encoder.tokens / len(chosen[:256]),
        "texts_per_second": {name: len(chosen) / median(each) for name, each in taken.items()},
        "ratio_to_the_library": [median(ratios), min(ratios), max(ratios)],
        "largest_difference": float(np.abs(found - theirs).max() / np.abs(theirs).max()),
    }


def _library(model: "SentenceTransformer", texts: list[str], *, prompt: str, size: int) -> np.ndarray:
    answer = model.encode(texts, prompt=prompt, batch_size=size, show_progress_bar=False, convert_to_tensor=True)
    return np.asarray(answer.float().cpu())


def count(queries: Floats, documents: Floats, relevant: np.ndarray, device: str, plan: Plan) -> "Iterator[np.ndarray]":
    """Yield for some queries after others the documents before the relevant one, and those tied with it, (2, queries).

    Products of grid vectors are exact in float64, in whatever order they are summed, so that these are the counts of
    `count_ahead` where the documents stand in the order of their ids.
    """
    import torch

    corpus, wanted = torch.from_numpy(documents).to(device), torch.from_numpy(relevant).to(device)
    places = torch.arange(len(documents), device=device)
    for start in range(0, len(queries), plan.rows):
        own = wanted[start : start + plan.rows, None]
        rows = torch.from_numpy(queries[start : start + plan.rows]).to(device)
        threshold = (rows * corpus[own[:, 0]]).sum(dim=1, keepdim=True)
        counts = torch.zeros((2, len(rows)), dtype=torch.int64, device=device)
        for first in range(0, len(corpus), plan.columns):
            scores: Tensor = rows @ corpus[first : first + plan.columns].T
            place = places[first : first + plan.columns]
            same = scores == threshold
            counts[0] += ((scores > threshold) | (same & (place < own))).sum(dim=1)
            counts[1] += (same & (place != own)).sum(dim=1)
        yield counts.cpu().numpy()


def rank(device: str, plan: Plan) -> dict[str, object]:
    """Return how long the counts of all queries take, of which as many are made as the time allows."""
    random = np.random.default_rng(0)
    size = (plan.documents, plan.dim)
    queries, documents = (grid_cosine(random.standard_normal(size, dtype=np.float32)) for _ in range(2))
    # Two documents in a thousand have the vector of another one, so that there are ties.
    documents[::500] = documents[1::500]
    relevant = random.permutation(plan.documents)
    next(count(queries, documents, relevant, device, plan))
    made: list[np.ndarray] = []
    start = perf_counter()
    for counts in count(queries, documents, relevant, device, plan):
        made.append(counts)
        if perf_counter() - start > plan.rank_seconds:
            break
    seconds, done = perf_counter() - start, sum(counts.shape[1] for counts in made)
    operations = 2.0 * done * plan.documents * plan.dim
    return {
        "queries": plan.documents,
        "documents": plan.documents,
        "dim": plan.dim,
        "queries_counted": done,
        "seconds": seconds,
        "seconds_of_all": seconds * plan.documents / done,
        "extrapolated": done < plan.documents,
        "tera_operations_per_second": operations / seconds / 1e12,
        "equal_to_the_processor": _equals(np.concatenate(made, axis=1), queries, documents, relevant, device, plan),
        "compared": min(plan.sample, done),
    }


def _equals(
    counts: np.ndarray, queries: Floats, documents: Floats, relevant: np.ndarray, device: str, plan: Plan
) -> bool:
    """Say whether counts are those of `count_ahead`, on the processor and on the device, for a sample of queries."""
    sample = np.linspace(0, counts.shape[1] - 1, min(plan.sample, counts.shape[1])).astype(int)
    query, document = np.arange(len(sample)), relevant[sample]
    targets = Targets(query, exact_scores(queries[sample], query, documents, document), document)
    blocks = [Block(documents, np.arange(len(documents)))]
    expected = [count_ahead(queries[sample], targets, blocks, tiling=Tiling(device=each)) for each in (None, device)]
    return all(
        (each.ahead[:, 0] == counts[0, sample]).all() and (each.ties[:, 0] == counts[1, sample]).all()
        for each in expected
    )


def machine(device: str) -> dict[str, object]:
    import sentence_transformers
    import torch
    import transformers

    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "sentence-transformers": sentence_transformers.__version__,
        "tf32": torch.backends.cuda.matmul.allow_tf32,
    }


def measure(device: str, folder: str | None) -> dict[str, object]:
    """Return all figures, each part within its time."""
    plan = TINY if device == "cpu" else FULL
    encoding: dict[str, object] = {}
    for name, shape in plan.shapes.items():
        for dtype in plan.dtypes:
            real = name == E5 and folder is not None
            model = load(str(folder), dtype, device) if real else build(shape, dtype, device)
            print(f"encoding: {name}, {dtype} ...", flush=True)
            encoding[f"{name}, {dtype}"] = {"random_weights": not real, **encode(model, plan)}
            del model
    print("ranking ...", flush=True)
    return {"machine": machine(device), "plan": asdict(plan), "encoding": encoding, "ranking": rank(device, plan)}


def table(figures: dict[str, object]) -> Iterator[str]:
    """Yield the lines of a table of all figures."""
    encoding, ranking = figures["encoding"], figures["ranking"]
    assert isinstance(encoding, dict)
    assert isinstance(ranking, dict)
    yield f"{'encoder':<36} {'library 32':>10} {'library 256':>11} {'mlbench':>9} {'ratio':>6} {'difference':>10}"
    for name, row in encoding.items():
        speeds = [f"{speed:,.0f}" for speed in row["texts_per_second"].values()]
        ratio, difference = row["ratio_to_the_library"][0], row["largest_difference"]
        yield f"{name:<36} {speeds[0]:>10} {speeds[1]:>11} {speeds[2]:>9} {ratio:>6.2f} {difference:>10.0e}"
    yield "texts per second; the ratio is to the faster of the library's two"
    how = f"extrapolated from {ranking['queries_counted']:,} queries" if ranking["extrapolated"] else "measured whole"
    equal = "the same counts as" if ranking["equal_to_the_processor"] else "OTHER COUNTS THAN"
    yield (
        f"ranking {ranking['queries']:,} x {ranking['documents']:,} x {ranking['dim']}: "
        f"{ranking['seconds_of_all']:,.1f} s, {how}, {ranking['tera_operations_per_second']:.2g} TFLOP/s in float64"
    )
    yield f"{equal} the processor's, in {ranking['compared']:,} queries"


def main(arguments: Sequence[str] | None = None) -> None:
    import torch

    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=str(__doc__).splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--encoder", help="folder of multilingual-e5-small; random weights without")
    parser.add_argument("--out", default="gpu.json", help="where the figures are written")
    options = parser.parse_args(arguments)
    start = perf_counter()
    figures = measure(options.device, options.encoder)
    figures["minutes"] = math.ceil((perf_counter() - start) / 6) / 10
    Path(options.out).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print("\n".join(table(figures)))


if __name__ == "__main__":
    main()
