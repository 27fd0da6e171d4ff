"""mteb's own tasks XM3600T2IRetrieval and XM3600I2TRetrieval, and mlbench, on one folder in the layout of mteb/xm3600.

The captions are those of mini-images, two for an image in each language but for every third one. Without the name of a
model (`python -m tests.bench.images_against_mteb MODEL`), a stand-in draws a vector for each text and each image. Both
sides rank the same vectors.
"""

import io
import json
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal
from warnings import simplefilter

import numpy as np
from numpy.typing import NDArray

import mlbench
from mlbench.collection.images import open_image
from mlbench.collection.records import Image
from mlbench.protocols import Parameter, Role
from tests.bench.material import skip

if TYPE_CHECKING:
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.models.abs_encoder import AbsEncoder

MEASURES = {
    "nDCG@10": "ndcg_cut_10",
    "AP@1000": "map_cut_1000",
    "R@1": "recall_1",
    "R@5": "recall_5",
    "R@10": "recall_10",
    "P@5": "P_5",
    "Success@1": "success_1",
    "Success@5": "success_5",
    "Success@10": "success_10",
    "RR@10": "",
}
"""Names here, and those of pytrec_eval in mteb, whose rounding to five decimals comes after; mteb counts RR itself."""
KINDS = {"text_to_image": "XM3600T2IRetrieval", "image_to_text": "XM3600I2TRetrieval"}

Scores = dict[tuple[str, str], dict[str, float]]
"""By kind of setting and language, the value of each measure."""


class Drawn:
    """Stands in for a model: what has the same text, or the same pixels, has the same vector, drawn at random."""

    dim = 32
    similarity: Literal["cosine"] = "cosine"
    parameters: Mapping[str, Parameter] = {}
    reads_images = True

    def fingerprint(self, _role: Role) -> str:
        return "drawn"

    def encode(self, texts: Sequence[str], _role: Role) -> NDArray[np.float32]:
        """Return float32 (texts, 32)."""
        contents = [open_image(text.path).tobytes() if isinstance(text, Image) else text.encode() for text in texts]
        seeds = [int.from_bytes(sha256(content).digest()[:4]) for content in contents]
        return np.stack([np.random.RandomState(seed).standard_normal(self.dim) for seed in seeds]).astype(np.float32)


def captions_by_language() -> dict[str, list[str]]:
    given = Path(str(files("mlbench.task_files"))) / "mini-images"
    return {
        path.name.split(".")[1]: [json.loads(line)["caption"] for line in path.read_text("utf-8").splitlines()]
        for path in sorted(given.glob("captions.*.jsonl"))
    }


def draw(folder: Path, n: int) -> list[Path]:
    """Write `n` images of coloured noise."""
    from PIL import Image as Pillow

    folder.mkdir()
    for number in range(n):
        pixels = np.random.RandomState(number).randint(0, 256, (24, 32, 3)).astype(np.uint8)
        Pillow.fromarray(pixels).save(folder / f"{number:03}.png")
    return sorted(folder.iterdir())


def write(folder: Path, captions: Mapping[str, Sequence[str]], pictures: Sequence[Path]) -> None:
    """Write the data set: a split for each language, with all images in each."""
    from pyarrow import Table
    from pyarrow.parquet import write_table

    (folder / "data").mkdir(parents=True)
    for language, texts in captions.items():
        rows = []
        for number, (text, path) in enumerate(zip(texts, pictures, strict=True)):
            own = [text, f"{number} {text}"] if number % 3 else [text]
            about = {"image_id": path.stem, "image_locale": "quz", "captions": own}
            tokens = {"captions_tokenized": own, "captions_tokenized_lowercase": own}
            rows.append({**about, **tokens, "image": {"bytes": path.read_bytes(), "path": None}})
        write_table(Table.from_pylist(rows), folder / f"data/{language}-00000-of-00001.parquet")


def build(kind: str, folder: Path, languages: Sequence[str]) -> "AbsTaskRetrieval":
    """Return mteb's own task on the folder, which hands over unrounded means."""
    from mteb.tasks.retrieval.multilingual import xm3600_t2i_retrieval

    theirs = getattr(xm3600_t2i_retrieval, KINDS[kind])
    known = theirs.metadata.eval_langs
    changes = {
        "dataset": {"path": str(folder), "revision": "1"},
        "eval_langs": {tag: known[tag] for tag in languages},
    }

    class Local(theirs):  # type: ignore[misc, valid-type]
        metadata = theirs.metadata.model_copy(update=changes)

        def task_specific_scores(
            self, scores: Mapping[str, Mapping[str, float]], *_: object, **__: object
        ) -> dict[str, float]:
            return {name: fmean(row[name] for row in scores.values()) for name in filter(None, MEASURES.values())}

    return Local()  # type: ignore[no-any-return]


def wrap(model: mlbench.Encoder, folder: Path) -> "AbsEncoder":
    """Return an encoder of mlbench as one of mteb, so that both rank the same vectors."""
    from mteb.models.abs_encoder import AbsEncoder
    from mteb.models.model_meta import ModelMeta, ScoringFunction

    class Wrapped(AbsEncoder):
        mteb_model_meta = ModelMeta.create_empty(
            {
                "name": "mlbench/model",
                "revision": "1",
                "similarity_fn_name": ScoringFunction(model.similarity),
                "modalities": ["image", "text"],
            }
        )

        def __init__(self) -> None: ...

        def encode(self, inputs, *, prompt_type=None, **_):  # type: ignore[no-untyped-def]
            found, role = [], "query" if str(getattr(prompt_type, "value", prompt_type)) == "query" else "document"
            for batch in inputs:
                if "image" in batch:
                    found.append(model.encode([record(image, folder) for image in batch["image"]], "image"))
                else:
                    found.append(model.encode(batch["text"], role))
            return np.concatenate(found)

    return Wrapped()


def record(image, folder: Path) -> Image:  # type: ignore[no-untyped-def]
    """Return one of Pillow's images as one of a collection, its pixels unchanged."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    digest = sha256(stream.getvalue()).hexdigest()
    path = folder / f"{digest}.png"
    path.write_bytes(stream.getvalue())
    return Image(digest, path)


def run_mteb(model: mlbench.Encoder, folder: Path, languages: Sequence[str], pictures: Path) -> Scores:
    from mteb import evaluate

    found = {}
    for kind in KINDS:
        result = evaluate(
            wrap(model, pictures),
            build(kind, folder, languages),
            cache=None,
            show_progress_bar=False,
            encode_kwargs={"batch_size": 64, "show_progress_bar": False},
        )
        for row in result.task_results[0].scores["test"]:
            scores = {name: row[theirs or "mrr_at_10"] for name, theirs in MEASURES.items()}
            found[kind, row["hf_subset"]] = scores
    return found


def run_mlbench(model: mlbench.Encoder, folder: Path, cache: Path) -> Scores:
    task = mlbench.load_task(str(folder)).model_copy(update={"measures": tuple(MEASURES)})
    rows = mlbench.evaluate(model, task, options=mlbench.Options(cache=cache, resamples=0)).result.settings
    return {
        (row.kind, row.query_language if row.kind == "text_to_image" else row.document_languages[0]): {
            name: row.measures[name] or 0.0 for name in MEASURES
        }
        for row in rows
        if row.kind in KINDS
    }


def report(theirs: Scores, ours: Scores) -> None:
    print("| | measure | mteb | mlbench | largest difference |\n|---|---|---|---|---|")
    for kind in KINDS:
        cells = [cell for cell in ours if cell[0] == kind]
        for measure in MEASURES:
            apart = max(abs(theirs[cell][measure] - ours[cell][measure]) for cell in cells)
            means = [fmean(scores[cell][measure] for cell in cells) for scores in (theirs, ours)]
            print(f"| {kind} | {measure} | {means[0]:.6f} | {means[1]:.6f} | {apart:.1e} |")


def main(arguments: Sequence[str]) -> None:
    try:
        import mteb
    except ModuleNotFoundError:
        skip("needs mteb: pip install 'mlbench[bench]'")
    simplefilter("ignore", FutureWarning)
    captions = captions_by_language()
    model = mlbench.open_retriever(arguments[0], {}, mlbench.Runtime()) if arguments else Drawn()
    with TemporaryDirectory() as name:
        place = Path(name)
        pictures = draw(place / "drawn", len(captions["en"]))
        write(place / "xm", captions, pictures)
        named = arguments[0] if arguments else "drawn vectors"
        print(f"mteb {mteb.__version__} and mlbench {mlbench.__version__}, {named}")
        theirs = run_mteb(model, place / "xm", list(captions), place)
        report(theirs, run_mlbench(model, place / "xm", place / "cache"))


if __name__ == "__main__":
    main(sys.argv[1:])
