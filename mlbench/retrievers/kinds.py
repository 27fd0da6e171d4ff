"""What kind of retriever a checkpoint is, and whether code of its own computes it; read from its configuration."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from mlbench.errors import RetrieverError
from mlbench.retrievers.checkpoint_folder import ADAPTER, described_by, module_folders, module_types, read_json

Kind = Literal["dense", "sparse", "late", "cross_encoder"]
_NAMES: dict[Kind, str] = {
    "dense": "a dense encoder, which gives each text one vector",
    "sparse": "a sparse encoder, such as SPLADE",
    "late": "a late-interaction encoder, such as ColBERT",
    "cross_encoder": "a cross-encoder, which scores pairs of texts",
}
# What the library writes in `config_sentence_transformers.json`, and PyLate.
_SAVED: dict[object, Kind] = {
    "SentenceTransformer": "dense",
    "SparseEncoder": "sparse",
    "MultiVectorEncoder": "late",
    "ColBERT": "late",
    "CrossEncoder": "cross_encoder",
}
# Modules that one kind alone has, by the beginning of their class's name or the whole of its last part.
_PACKAGES: dict[str, Kind] = {
    "pylate.": "late",
    "sentence_transformers.multi_vector_encoder.": "late",
    "sentence_transformers.sparse_encoder.": "sparse",
    "sentence_transformers.cross_encoder.": "cross_encoder",
}
_CLASSES: dict[str, Kind] = {
    "MultiVectorMask": "late",
    "SpladePooling": "sparse",
    "SparseAutoEncoder": "sparse",
    "SparseStaticEmbedding": "sparse",
    "MLMTransformer": "sparse",
    "LogitScore": "cross_encoder",
}
_PYLATE = ("query_prefix", "document_prefix", "skiplist_words", "do_query_expansion")
_COLBERT = "HF_ColBERT"
# Models of transformers in which words meet the patches of an image, such as ColPaliForRetrieval.
_OF_PATCHES = "ForRetrieval"
_CONFIGURATIONS = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
# Where the class is of what `mlbench train` makes of a BLIP or an ALBEF.
_FUSION = "mlbench.training.fusion."
_LIBRARIES = ("sentence_transformers.", "pylate.", _FUSION)


def kind_of_checkpoint(folder: Path) -> Kind:
    """Return what kind of retriever a folder holds: what its configuration says, else dense.

    A masked language model that nothing else is saved of is dense: a SPLADE model without its modules and the model
    that it was trained from look the same. Raises `RetrieverError` where a configuration cannot be read.
    """
    saved, config = read_json(folder / "config_sentence_transformers.json"), read_json(folder / "config.json")
    if has_late_interaction(config) or any(key in saved for key in _PYLATE):
        return "late"
    if saved.get("model_type") in _SAVED:
        return _SAVED[saved["model_type"]]
    for name in module_types(folder):
        by_package = next((kind for package, kind in _PACKAGES.items() if name.startswith(package)), None)
        kind = _CLASSES.get(name.rpartition(".")[2], by_package)
        if kind is not None:
            return kind
    if (folder / "artifact.metadata").is_file():
        return "late"
    # With modules, the network is what an encoder was trained from, whatever it did before.
    if not (folder / "modules.json").is_file() and _is_classifier(config):
        return "cross_encoder"
    return "dense"


def has_late_interaction(config: dict[str, object]) -> bool:
    """Say whether a `config.json` names a network that compares tokens, with the projection that it does it in."""
    return any(name == _COLBERT or name.endswith(_OF_PATCHES) for name in architectures(config))


def architectures(config: dict[str, object]) -> list[str]:
    """Return the classes of networks that a `config.json` names; empty where it names none."""
    names = config.get("architectures")
    return list(map(str, names)) if isinstance(names, list) else []


def _is_classifier(config: dict[str, object]) -> bool:
    activation = config.get("sentence_transformers")
    trained_as_one = "sbert_ce_default_activation_function" in config or (
        isinstance(activation, dict) and "activation_fn" in activation
    )
    return trained_as_one or any(name.endswith("ForSequenceClassification") for name in architectures(config))


def _kind_of_adapter(folder: Path, *, fetch: bool) -> Kind:
    """Return the kind of a checkpoint that may be an adapter, which is that of its base unless it was trained as one.

    Without `fetch`, a base on a hub is taken to be dense.
    """
    described = described_by(folder, fetch=fetch)
    if described != folder and read_json(folder / ADAPTER).get("task_type") == "SEQ_CLS":
        return "cross_encoder"
    return kind_of_checkpoint(described)


def is_of_kind(folder: Path, kind: Kind) -> bool:
    """Say whether a folder holds a checkpoint of this kind; one whose configuration is broken is of none."""
    try:
        return _kind_of_adapter(folder, fetch=False) == kind
    except RetrieverError:
        return False


def check_kind(folder: Path, locator: str, kind: Kind) -> None:
    """Raise `RetrieverError` where a folder, which the user called `locator`, holds another kind of retriever.

    It names the scheme that opens it, or re-ranking for a cross-encoder.
    """
    found = _kind_of_adapter(folder, fetch=True)
    if found == kind:
        return
    if found == "cross_encoder":
        raise RetrieverError(
            f"{locator} is {_NAMES[found]} and gives none a vector: let it re-rank, as the reranker of a system file "
            'of kind = "rerank"'
        )
    raise RetrieverError(f"{locator} is {_NAMES[found]}: open it as {found}:{locator}")


def has_matching_head(folder: Path) -> bool:
    """Say whether `mlbench train` made a folder of a BLIP or an ALBEF: but for its modules it is as their own."""
    return any(name.startswith(_FUSION) for name in module_types(folder))


def check_code(folder: Path, *, trusted: bool, network: bool = True) -> None:
    """Raise `RetrieverError` where code of the checkpoint's own computes it and may not be run.

    Without that code the libraries would refuse some checkpoints, and compute others by a network of the same name.
    That of the `network` does not count where something else computes it, as a graph does.
    """
    names = (code for code in _own_code(folder) if network or code[0].name != "config.json")
    code = None if trusted else next(names, None)
    if code is not None:
        place, name = code
        raise RetrieverError(
            f"{place} names code of the checkpoint's own ({name}), without which it would be another model: "
            "pass --trust-remote-code if you trust it"
        )


def _own_code(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the configuration files that name classes of the checkpoint's own, with the name of one."""
    for name in module_types(folder):
        if not name.startswith(_LIBRARIES):
            yield folder / "modules.json", name
    for place in dict.fromkeys((folder, *module_folders(folder))):
        for file in _CONFIGURATIONS:
            classes = read_json(place / file).get("auto_map")
            for named in classes.values() if isinstance(classes, dict) else ():
                # A tokenizer has two: a slow one and a fast one, or none.
                for name in named if isinstance(named, list) else [named]:
                    if isinstance(name, str):
                        yield place / file, name
