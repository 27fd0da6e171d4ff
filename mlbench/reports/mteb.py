"""Results in the files and folders that mteb 2 writes, for its leaderboard, its tables and whatever reads them."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import groupby, pairwise
from pathlib import PurePosixPath

from mlbench.collection.languages import IMAGE, KINDS, Kind, Setting
from mlbench.compare.reported import MODEL_META, NAMES
from mlbench.errors import UserError
from mlbench.measures.ranked import parse
from mlbench.ranking.ranks import Ranks, setting_blocks
from mlbench.registry.entry import Entry
from mlbench.registry.find import find, shipped
from mlbench.results import Result

CUTOFFS = (1, 3, 5, 10, 20, 100, 1000)
"""The cutoffs that mteb computes each measure at."""
MAIN_MEASURE = "ndcg_at_10"
"""What mteb takes as the score of a retrieval task."""
_DIGITS = 6
_ODD = re.compile(r"[^\w.+=,@-]|^\.+$")


def mteb_files(results: Sequence[tuple[Result, Ranks]]) -> dict[PurePosixPath, bytes]:
    """Return the files of results by their paths, `MODEL/REVISION/TASK.json` as in mteb's folder `results`.

    A task with several kinds of settings is several tasks, such as `xquad-r-monolingual`, because mteb takes the mean
    over all subsets of a task. Beside the results of a model stands `model_meta.json`: what the result and the registry
    know of it. The revision of a model and of data is its fingerprint here. Measures are computed from the ranks.
    Raises `UserError` for a result of a few topics, which mteb's files could not say.
    """
    files: dict[PurePosixPath, bytes] = {}
    for result, ranks in results:
        if result.task.limit is not None:
            raise UserError(f"mteb's results are of all topics, and this one is of a part of {result.task.name}")
        name = _model_name(result)
        folder = PurePosixPath(_file_name(name), _file_name(result.retriever.fingerprint))
        files[folder / MODEL_META] = _json(_model_meta(result, name))
        for task_name, document in _task_results(result, ranks):
            files[folder / f"{_file_name(task_name)}.json"] = _json(document)
    return files


def _file_name(name: str) -> str:
    """Return a name for a file or folder as mteb makes it, in which nothing leads to another folder."""
    return _ODD.sub("_", name.replace("/", "__"))


def _task_results(result: Result, ranks: Ranks) -> Iterator[tuple[str, dict[str, object]]]:
    by_kind: dict[Kind, list[Setting]] = {kind: [] for kind in KINDS}
    for each in result.settings:
        by_kind[each.kind].append(Setting(each.query_language, each.document_languages))
    kinds = [kind for kind in KINDS if by_kind[kind]]
    for kind in kinds:
        task_name = result.task.name if len(kinds) == 1 else f"{result.task.name}-{kind.replace('_', '-')}"
        rows = _scores(ranks, by_kind[kind])
        cost = result.cost
        yield (
            task_name,
            {
                "dataset_revision": result.task.fingerprint,
                "task_name": task_name,
                # It was not mteb that measured.
                "mteb_version": None,
                "scores": {"test": list(rows)},
                "evaluation_time": cost.encode_seconds + cost.rank_seconds + cost.score_seconds,
                "kg_co2_emissions": None,
                "date": datetime.fromisoformat(cost.finished_at).timestamp(),
            },
        )


def _scores(ranks: Ranks, settings: Sequence[Setting]) -> Iterator[dict[str, object]]:
    """Yield the scores of each setting of one kind, but for those where no query has a relevant document."""
    measures = {
        f"{theirs}_at_{cutoff}": parse(f"{ours}@{cutoff}") for theirs, ours in NAMES.items() for cutoff in CUTOFFS
    }
    for _, group in groupby(settings, key=lambda each: each.query_language):
        asked = list(group)
        for block in setting_blocks(ranks, asked):
            values = {name: measure.values(block.relevant) for name, measure in measures.items()}
            for index, (first, end) in zip(block.settings, pairwise(block.edges.tolist()), strict=True):
                if first < end:
                    scores = {name: round(float(each[first:end].mean()), _DIGITS) for name, each in values.items()}
                    yield _described(asked[index], scores, alone=len(settings) == 1)


def _described(setting: Setting, scores: Mapping[str, float], *, alone: bool) -> dict[str, object]:
    """Return the scores of a setting with what mteb calls it."""
    documents = setting.document_languages
    languages = sorted({setting.query_language, *documents} - {IMAGE})
    subset = setting.query_language if documents == (setting.query_language,) else None
    return {
        **scores,
        "accuracy": scores["recall_at_1"],
        "main_score": scores[MAIN_MEASURE],
        "hf_subset": "default" if alone else subset or f"{setting.query_language}-{'+'.join(documents)}",
        "languages": [language_and_script(language) for language in languages],
    }


@cache
def language_and_script(tag: str) -> str:
    """Return a language as mteb names it, by ISO 639-3 and ISO 15924: `th` is `tha-Thai`."""
    import langcodes

    found = langcodes.get(tag).maximize()
    return f"{found.to_alpha3()}-{found.script}"


def _model_name(result: Result) -> str:
    """Return the hub id where the registry knows the model; mteb wants an owner in front of any other name."""
    known = result.retriever.registry
    if known is not None and not known.made_from:
        return known.name
    label = result.retriever.label
    return label if label.count("/") == 1 else f"unknown/{PurePosixPath(label).name}"


def _model_meta(result: Result, name: str) -> dict[str, object]:
    retriever = result.retriever
    entry = find(name, shipped()) if retriever.registry is not None else None
    return {
        "loader": None,
        "name": name,
        "revision": retriever.fingerprint,
        "release_date": None,
        "n_parameters": entry.parameters if entry else None,
        "memory_usage_mb": None,
        "max_tokens": entry.max_length if entry else None,
        "embed_dim": retriever.dim,
        "license": entry.licence.lower() if entry and entry.licence else None,
        "open_weights": None,
        "public_training_code": None,
        "public_training_data": None,
        "framework": [],
        "reference": f"https://huggingface.co/{name}" if entry else None,
        "similarity_fn_name": retriever.similarity,
        "use_instructions": _uses_prompts(entry),
        "training_datasets": None,
        "languages": _languages(entry),
        "modalities": ["text"] if result.image_text is None else ["text", "image"],
    }


def _uses_prompts(entry: Entry | None) -> bool | None:
    return None if entry is None else bool(entry.query_prompt or entry.document_prompt)


def _languages(entry: Entry | None) -> list[str] | None:
    if entry is None or not isinstance(entry.languages, tuple):
        return None
    return [language_and_script(tag) for tag in entry.languages]


def _json(document: Mapping[str, object]) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()
