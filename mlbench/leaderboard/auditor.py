"""Audits an entry: its model is opened, and what nobody could know before is drawn and computed again."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mlbench import members
from mlbench.collection.languages import Setting
from mlbench.collection.records import fingerprint_of
from mlbench.embeddings.commitment import read_commitment
from mlbench.errors import UserError
from mlbench.evaluation.environment import commit_of
from mlbench.leaderboard.audit import SEED, Audit, TaskAudit
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.challenge import Draw, audit_lists, audit_vectors
from mlbench.leaderboard.check import check_entry
from mlbench.leaderboard.check_files import LARGEST_COMPACT_RANKS, text_fault
from mlbench.leaderboard.entries import vectors_of
from mlbench.open_model import LoadedModel, known_keys, open_model, parse
from mlbench.protocols import SILENCE, Progress, Runtime
from mlbench.ranking.ranks import Ranks
from mlbench.results import Result, RetrieverInfo
from mlbench.tasks.load import is_sharded, load_collection
from mlbench.tasks.task import load_task
from mlbench.version import __version__

_SEED = re.compile(SEED)
# Kinds of models that are opened from a checkpoint, or need none.
_HARMLESS = frozenset({"bm25", "bm25s", "dense", "hashing", "image_text", "late", "sparse", "static"})


@dataclass(frozen=True)
class Auditor:
    """Who audits, and how: `settings` are keys of the model, `data_dir` has the files of tasks.

    Without a `model`, the one that the entry names is opened; without a `seed`, in hexadecimal digits, it is the commit
    that brought the entry to the board. `tasks` are files of tasks that mlbench does not know by their names.
    """

    by: str
    model: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    seed: str | None = None
    tasks: Sequence[str] = ()
    data_dir: Path | None = None
    runtime: Runtime = field(default_factory=Runtime)
    progress: Progress = SILENCE

    def __post_init__(self) -> None:
        if self.seed is not None and not _SEED.fullmatch(self.seed):
            raise UserError(f"{self.seed!r:.80} is no seed: write 8 to 128 hexadecimal digits, in small letters")
        if not 0 < len(self.by) <= 100 or text_fault(self.by):
            raise UserError(f"{self.by!r:.80} is nobody's name: write one line of at most 100 characters")

    def audit(self, board: Board, name: str) -> Audit:
        """Audit an entry; nothing is written. Raises `UserError` for what cannot be audited."""
        checked = check_entry(board, name)
        if not checked.accepted:
            raise UserError(f"{name} has the numbers of a paper: there is nothing to compute again")
        folder = board.entry_folder(name)
        commit = commit_of(folder) if self.seed is None else None
        seed = commit or self.seed or ""
        pairs = checked.pairs
        stated = next(result.retriever for result, _ in pairs.values())
        model = self._open(stated)
        tasks = {
            task: self._audit_task(model, Draw(seed, task), result, ranks, folder)
            for task, (result, ranks) in pairs.items()
        }
        return Audit(
            name=name,
            entry_fingerprint=checked.entry.fingerprint,
            passed=not any(each.faults for each in tasks.values()),
            by=self.by,
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            seed=seed,
            commit=commit,
            model=model.spec,
            same_fingerprint=model.info().fingerprint == stated.fingerprint,
            mlbench=__version__,
            tasks=tasks,
        )

    def _open(self, stated: RetrieverInfo) -> LoadedModel:
        """Open the model with the settings that the entry states, where its kind has such keys and none is given.

        An entry decides neither which server is asked, with which key, nor which other files are read.
        """
        spec = stated.spec if self.model is None else self.model
        is_harmless = parse(spec)[0] in _HARMLESS
        if self.model is None and not is_harmless:
            raise UserError(f"{spec}: name with --model what to open: an entry decides neither server nor file")
        model = open_model(spec, self.settings, self.runtime, self.progress)
        if members.is_encoder(model.retriever) != (stated.kind == "encoder"):
            raise UserError(f"{spec} is no {stated.kind}, as the model of the entry is: name that with --model")
        differing = {
            key: str(value)
            for key, value in stated.parameters.items()
            if value is not None and model.retriever.parameters.get(key) != value
        }
        missing = {key: differing[key] for key in differing.keys() & set(known_keys(spec) or ()) - set(self.settings)}
        if not (missing and is_harmless):
            return model
        self.progress.note(
            f"{spec}: {', '.join(f'{key}={value!r}' for key, value in missing.items())}, as in the entry"
        )
        return open_model(spec, {**missing, **self.settings}, self.runtime, SILENCE)

    def _audit_task(self, model: LoadedModel, draw: Draw, result: Result, ranks: Ranks, folder: Path) -> TaskAudit:
        known = {task.name: task for task in map(load_task, self.tasks)}
        task = known.get(result.task.name) or load_task(result.task.name)
        if is_sharded(task):
            raise UserError(f"{task.name} is read in shards, and an audit holds all texts: it cannot be audited")
        collection = load_collection(task, data_dir=self.data_dir, progress=self.progress)
        if fingerprint_of(collection.fingerprints()) != result.task.fingerprint:
            raise UserError(f"{task.name}: the data here are not those of the entry")
        if not members.is_encoder(model.retriever):
            settings = [Setting(each.query_language, each.document_languages) for each in result.settings]
            return audit_lists(model.retriever, collection, settings, ranks, draw, self.progress)
        commitment = None
        if result.vectors is not None:
            commitment = read_commitment(folder / vectors_of(task.name), LARGEST_COMPACT_RANKS)
        return audit_vectors(model.retriever, collection, ranks, commitment, draw, self.progress)
