"""The models of a run: `--model [NAME=]MODEL`, `--models FILE`, `--set [NAME.]KEY=VALUE`; and their check before it."""

import gc
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlbench.errors import UserError, suggest
from mlbench.evaluation.options import Options
from mlbench.open_model import LoadedModel, check_name, known_keys, names_apart, open_model, unknown_key
from mlbench.protocols import SILENCE, Progress
from mlbench.results import retriever_stem
from mlbench.retrievers.pipelines.declaration import read_models

# Such a beginning of a path or of SCHEME:PATH_OR_ID is no name, though it stands before a `=`.
_PATH = re.compile(r"[.~]|.*[/\\:]", re.DOTALL)

Use = Callable[[LoadedModel], Sequence[LoadedModel]]
"""Returns what is measured of an opened model, such as its indexes; raises `UserError` where that cannot be."""


@dataclass(frozen=True)
class RequestedModel:
    """One model of a run and its keys, of which `shared` are those that were given for all models.

    `called` is how `--set` and messages name it; results call it `name`, or by its spec where that is None.
    """

    spec: str
    called: str
    name: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()


def requested_models(
    models: Sequence[str], listing: Path | None, pairs: Mapping[str, str]
) -> tuple[RequestedModel, ...]:
    """Return the models of `--model`, then those of the file `listing`, each with the keys of `--set` that it gets.

    A key for one model wins over a key in the file, and that over a key for all models. Raises `UserError` for names
    that are no names or are there twice, and for keys of a model that is not there.
    """
    found = [_parse(text) for text in models]
    if listing is not None:
        found += [
            RequestedModel(listed.model, listed.name or listed.model, listed.name, listed.settings)
            for listed in read_models(listing)
        ]
    _check_names(found)
    shared = {key: value for key, value in pairs.items() if "." not in key}
    own: list[dict[str, str]] = [{} for _ in found]
    for option, value in pairs.items():
        target, dot, key = option.rpartition(".")
        if dot:
            keys = own[_place(target, key, found)]
            if key in keys:
                raise UserError(f"--set gives {target} the key {key} twice: give each key one value")
            keys[key] = value
    names = names_apart([request.spec for request in found])
    return tuple(
        replace(
            request,
            name=request.name or name,
            settings={**shared, **request.settings, **keys},
            shared=frozenset(shared.keys() - request.settings.keys() - keys.keys()),
        )
        for request, keys, name in zip(found, own, names, strict=True)
    )


def _parse(text: str) -> RequestedModel:
    name, equals, spec = (part.strip() for part in text.partition("="))
    if not equals or Path(text).exists() or _PATH.match(name):
        return RequestedModel(text, text)
    return RequestedModel(spec, name, name)


def _check_names(requests: Sequence[RequestedModel]) -> None:
    called = [request.called for request in requests]
    for name in (request.name for request in requests if request.name is not None):
        if check_name(name).isdecimal():
            raise UserError(f"{name} is no name of a model, as numbers are places in the list of models")
        if called.count(name) > 1:
            raise UserError(f"two models are called {name}: give each a name of its own")


def _place(target: str, key: str, requests: Sequence[RequestedModel]) -> int:
    """Return the place of the model that is called `target`, or is number `target`, counted from 1."""
    called = [request.called for request in requests]
    if called.count(target) == 1:
        return called.index(target)
    if target in called:
        raise UserError(
            f"--set {target}.{key}: {target} is there {called.count(target)} times: name its place, as in "
            f"--set {called.index(target) + 1}.{key}"
        )
    if target.isdecimal() and 1 <= int(target) <= len(called):
        return int(target) - 1
    raise UserError(f"--set {target}.{key}: no model is called {target!r}: {suggest(target, called)}")


class RunModels:
    """The models of a run in their order, of which at most one is in memory."""

    def __init__(self, requests: Sequence[RequestedModel], options: Options) -> None:
        self._requests, self._options = requests, options

    def __len__(self) -> int:
        return len(self._requests)

    def open(self, place: int) -> LoadedModel:
        """Open the model at `place`; raises what `open_model` raises."""
        return self._open(self._requests[place], self._options.progress)

    def check(self, use: Use) -> LoadedModel:
        """Open every model once, from the last to the first, and return the first; the others leave memory again.

        Raises `UserError` in one line with the faults of all models, such as that the results of two would have the
        same files.
        """
        if len(self) == 1:
            only = self.open(0)
            use(only)
            return only
        first: LoadedModel | None = None
        faults: list[list[str]] = []
        by_stem: dict[str, RequestedModel] = {}
        progress = self._options.progress
        progress.start("open", len(self))
        for place, request in reversed(list(enumerate(self._requests))):
            # No two models are in memory.
            first = None
            found = dict(self._unknown_keys(request))
            try:
                kept = {key: value for key, value in request.settings.items() if key not in found}
                # What is to be said of a model is said when it is measured.
                first = self._open(replace(request, settings=kept), SILENCE if place else progress)
                told = list(_twins(request, use(first), by_stem))
            except UserError as error:
                told = [str(error)]
            faults.append([_by_name(request, fault) for fault in (*found.values(), *told)])
            progress.advance(1)
        if any(faults):
            lines = dict.fromkeys(fault for found in reversed(faults) for fault in found)
            raise UserError(f"{sum(map(bool, faults))} of {len(self)} models cannot be measured: {'; '.join(lines)}")
        progress.finish()
        assert first is not None
        return first

    def _open(self, request: RequestedModel, progress: Progress) -> LoadedModel:
        # The one before is in circles of references, as its card names a model of sentence-transformers.
        gc.collect()
        return open_model(request.spec, request.settings, self._options.runtime, progress, request.name)

    def _unknown_keys(self, request: RequestedModel) -> Iterator[tuple[str, str]]:
        """Yield each key that the kind of the model has not, and what to do about it."""
        known = known_keys(request.spec)
        for key in () if known is None else (key for key in request.settings if key not in known):
            others = [other for other in self._requests if key in (known_keys(other.spec) or ())]
            if key in request.shared and others:
                yield (
                    key,
                    f"it has no key {key}: write --set {others[0].called}.{key}={request.settings[key]} to set that of "
                    f"{others[0].called} alone",
                )
            else:
                yield key, unknown_key(key, known or ())


def _twins(
    request: RequestedModel, measured: Sequence[LoadedModel], by_stem: dict[str, RequestedModel]
) -> Iterator[str]:
    """Yield a fault where a result would have the files of that of another model; enter its own in `by_stem`."""
    for stem in {retriever_stem(each.info()) for each in measured}:
        twin = by_stem.setdefault(stem, request)
        if twin is not request:
            yield (
                f"it is the same model as {twin.called}, and their results would have the same files: leave one out, "
                "or give it a name, as in --model NAME=MODEL"
            )
            return


def _by_name(request: RequestedModel, fault: str) -> str:
    if fault.startswith("api: "):
        # Its address may hold a key.
        return fault
    named = fault.startswith(f"{request.called}:") or repr(request.called) in fault
    return fault if named else f"{request.called}: {fault}"
