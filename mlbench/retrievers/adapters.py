"""Adapters such as LoRA: small weights in a folder of their own, put on the model that they were trained on."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from shutil import copy, copytree
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlbench.errors import MissingExtra, RetrieverError
from mlbench.retrievers.checkpoint_folder import ADAPTER, adapter_base, has_tokenizer, module_folders, read_json

if TYPE_CHECKING:
    from torch.nn import Module

_MODULES = "modules.json"
# What Sentence Transformers saves of a model beside its modules, and of its transformer.
_SETTINGS = ("config_sentence_transformers.json", "sentence_*_config.json")
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
# In the names of tensors that an adapter has whole, as a classifier.
_SAVED = ".modules_to_save.default"


@contextmanager
def without_adapter(folder: Path) -> Iterator[Path]:
    """Yield the folder of a checkpoint as it is without its adapter: `folder` itself where it has none.

    Otherwise that is a temporary folder of links to the files of the base. Tokenizer, modules, prompts and settings are
    the adapter's own where its folder has them. Raises `MissingExtra` without peft, and `RetrieverError` as
    `adapter_base` does and for an adapter that is no change of weights.
    """
    place = module_folders(folder)[0]
    base = adapter_base(place)
    if base is None:
        yield folder
        return
    _check_kind(place)
    with TemporaryDirectory(prefix="mlbench-", ignore_cleanup_errors=True) as temporary:
        _assemble(folder, base, Path(temporary))
        yield Path(temporary)


def put_adapter(transformer: "Module", folder: Path) -> set[str]:
    """Put the adapter of a checkpoint on its transformer; return the tensors of the base that it has whole.

    None are returned, and nothing is done, where the checkpoint has no adapter. Raises `RetrieverError` where the
    adapter does not fit: a part that is left out would change nothing, without a word.
    """
    place = module_folders(folder)[0]
    if not (place / ADAPTER).is_file():
        return set()
    from peft import PeftConfig, PeftModel

    configuration = PeftConfig.from_pretrained(str(place))
    configuration.inference_mode = True
    wrapped = PeftModel(transformer, configuration)
    found = wrapped.load_adapter(str(place), "default", torch_device="cpu")
    if found.missing_keys and found.unexpected_keys:
        # It was trained on the transformer inside a larger model, as of a task.
        within = {rf"^{transformer.base_model_prefix}\.": ""}
        found = wrapped.load_adapter(str(place), "default", torch_device="cpu", key_mapping=within)
    if found.missing_keys or found.unexpected_keys:
        said = f"lacks {found.missing_keys[0]}" if found.missing_keys else f"has {found.unexpected_keys[0]} beside"
        raise RetrieverError(
            f"{place}: the adapter does not fit its base: it {said}; let base_model_name_or_path in {ADAPTER} name the "
            "model that it was trained on"
        )
    return {name.replace(_SAVED, "") for name in transformer.state_dict() if _SAVED in name}


def _check_kind(place: Path) -> None:
    if find_spec("peft") is None:
        raise MissingExtra("adapters", "peft")
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
    from peft.tuners.tuners_utils import BaseTuner

    kind = str(read_json(place / ADAPTER).get("peft_type"))
    tuners = {each.value for each, tuner in PEFT_TYPE_TO_TUNER_MAPPING.items() if _changes_weights(tuner, BaseTuner)}
    if kind not in tuners:
        raise RetrieverError(
            f"{place}: an adapter of type {kind} is not put on the weights of its base, as LoRA is, but adds steps or "
            "virtual tokens, which are not computed here"
        )


def _changes_weights(tuner: type, base: type) -> bool:
    """Say whether a kind of adapter only changes layers of its model, as `base` does."""
    return issubclass(tuner, base) and getattr(tuner, "forward", None) is getattr(base, "forward", None)


def _assemble(folder: Path, base: Path, root: Path) -> None:
    """Fill `root` with links to the files of an adapter's `base`, and in their place to those beside the adapter."""
    place, model = module_folders(folder)[0], module_folders(base)[0]
    if base != place:
        own = (path for path in place.iterdir() if path.name not in (ADAPTER, _MODULES, "config.json"))
        _link((path for path in own if path.suffix not in _WEIGHTS), root)
    # Half of a tokenizer and half of another would be neither.
    tokenizer = has_tokenizer(root)
    _link((path for path in model.iterdir() if _belongs(path, tokenizer=tokenizer)), root)
    source = folder if (folder / _MODULES).is_file() else base
    if (source / _MODULES).is_file():
        modules = json.loads((source / _MODULES).read_text(encoding="utf-8"))
        modules[0]["path"] = ""
        (root / _MODULES).write_text(json.dumps(modules), encoding="utf-8")
        _link((path for name in _SETTINGS for path in (*source.glob(name), *model.glob(name))), root)
        for module in modules[1:]:
            _link([source / module["path"]], (root / module["path"]).parent)


def _belongs(path: Path, *, tokenizer: bool) -> bool:
    """Say whether a file of the base is part of the model; `tokenizer` says whether there is one already."""
    if not path.is_file() or path.name == _MODULES or path.name.startswith("adapter_"):
        return False
    return not tokenizer or path.name == "config.json" or path.suffix in (*_WEIGHTS, ".py") or ".index." in path.name


def _link(paths: Iterable[Path], target: Path) -> None:
    """Link files and folders into the folder `target`, unless it has something of their name."""
    target.mkdir(parents=True, exist_ok=True)
    for path in paths:
        if not path.exists() or (target / path.name).exists():
            continue
        try:
            (target / path.name).symlink_to(path.resolve(), target_is_directory=path.is_dir())
        except OSError:
            # Not everybody may make links on Windows.
            (copytree if path.is_dir() else copy)(path, target / path.name)
