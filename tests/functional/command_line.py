"""The command line as a user meets it, in a folder of its own: called here, or as a process of its own."""

import json
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from safetensors.numpy import save_file

from mlbench import __main__ as program
from mlbench.cli import INTERRUPTED, main

LANGUAGES = ("de", "en", "es")


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """`mlbench` in `folder`, with a cache in it.

    A call runs in this process, which has imported everything already, and gives what a process would: `process` is
    for what only a process can show (signals, limits, variables that Python or a library reads when it starts).
    """

    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def environment(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**os.environ, "MLBENCH_CACHE": str(self.cache), **(changes or {})}

    def __call__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
        variables = self.environment(environment)
        assert {name for name in environment or () if name.startswith("PYTHON")} == set(), "that needs a process"
        with TemporaryFile() as out, TemporaryFile() as err:
            with _as_a_process(self.folder, variables, arguments, out.fileno(), err.fileno()):
                code = _exit_code()
            if code == INTERRUPTED:
                # Nobody but who runs the tests interrupts this process.
                raise KeyboardInterrupt
            out.seek(0)
            err.seek(0)
            return Done(code, out.read().decode(), err.read().decode())

    def process(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> Done:
        """Run `python -m mlbench`; `before` is called in the new process before it becomes Python."""
        done = subprocess.run(
            [sys.executable, "-m", "mlbench", *arguments],
            cwd=self.folder,
            env=self.environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=240,
            check=False,
            preexec_fn=before,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start `python -m mlbench`, which the test may then stop."""
        return subprocess.Popen(
            [sys.executable, "-m", "mlbench", *arguments],
            cwd=self.folder,
            env=self.environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def result(self, *arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Call `mlbench run ... --json` and return the document; the run must succeed."""
        done = self("run", "-q", "--json", *arguments, environment=environment)
        assert done.code == 0, done.err
        document: dict[str, Any] = json.loads(done.out)
        return document


def _exit_code() -> int:
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return end.value.code


@contextmanager
def _as_a_process(
    folder: Path, variables: Mapping[str, str], arguments: tuple[str, ...], out: int, err: int
) -> Iterator[None]:
    """Give this process what one that was just started has, and then its own again."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads = _torch_threads()
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, variables, clear=True))
        stack.enter_context(chdir(folder))
        stack.enter_context(patch.object(sys, "argv", [program.__file__, *arguments]))
        # What a worker process imports first.
        stack.enter_context(pytest.MonkeyPatch.context()).setitem(sys.modules, "__main__", program)
        stack.enter_context(_streams(out, err))
        stack.enter_context(_fresh_logging())
        stack.enter_context(_fresh_warnings())
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            if _torch_threads() != threads:
                sys.modules["torch"].set_num_threads(threads or len(os.sched_getaffinity(0)))


def _torch_threads() -> int | None:
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


@contextmanager
def _streams(out: int, err: int) -> Iterator[None]:
    """Point the standard streams at nothing and at two files: those of Python, and the descriptors below them.

    What a library keeps of these streams writes to the same descriptors later on.
    """
    kept = [os.dup(number) for number in range(3)]
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, target in enumerate((nothing, out, err)):
        os.dup2(target, number)
    os.close(nothing)
    try:
        with ExitStack() as stack:
            for name, number, mode, errors in (
                ("stdin", 0, "r", "strict"),
                ("stdout", 1, "w", "strict"),
                ("stderr", 2, "w", "backslashreplace"),
            ):
                buffering = 1 if number == 2 else -1
                stream = open(number, mode, buffering, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
                stack.enter_context(patch.object(sys, name, stream))
            yield
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)


@contextmanager
def _fresh_logging() -> Iterator[None]:
    """Log to stderr as a process would, not to pytest, and not to what stderr was when a library was imported."""
    root = logging.getLogger()
    known = [handler for reference in logging._handlerList if type(handler := reference()) is logging.StreamHandler]
    streams = [(handler, handler.setStream(sys.stderr)) for handler in known]
    disabled = root.manager.disable
    with patch.object(root, "handlers", []):
        yield
    logging.disable(disabled)
    for handler, stream in streams:
        if stream is not None:
            handler.setStream(stream)


_filters: list[Any] = []


@contextmanager
def _fresh_warnings() -> Iterator[None]:
    """Show warnings on stderr, by the filters of Python and those that libraries added when they were imported."""
    with warnings.catch_warnings():
        warnings.resetwarnings()
        if not _filters:
            for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", category, append=True)
            _filters.extend(warnings.filters)
        warnings.filters[:] = _filters  # type: ignore[index]
        with patch.object(warnings, "showwarning", _show):
            yield
        _filters[:] = warnings.filters


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def own_task(folder: Path, topics: int = 6, languages: tuple[str, ...] = LANGUAGES) -> Path:
    """Write a small collection in the bring-your-own format: two documents for each topic, the first relevant."""
    folder.mkdir(parents=True)
    for language in languages:
        queries = [{"id": f"t{n}", "text": f"{language} wonders what item {n * 7919} is"} for n in range(topics)]
        documents = [
            {"id": f"d{n}-{kind}", "text": f"{language}: {kind} {n * 7919} of {number}"}
            for n in range(topics)
            for number, kind in enumerate(("item", "thing"))
        ]
        for name, rows in (("queries", queries), ("documents", documents)):
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{name}.{language}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "qrels.tsv").write_text("".join(f"t{n}\t0\td{n}-item\t1\n" for n in range(topics)), encoding="utf-8")
    return folder


def tiny_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Write a BERT of one layer with random weights that reads bytes, without torch."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({token: n for n, token in enumerate(vocabulary)}, [], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**named, "model_max_length": 64}))
    sizes = {"vocab_size": len(vocabulary), "hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 64}
    layers = {"num_hidden_layers": 1, "num_attention_heads": 2, "model_type": "bert", "architectures": ["BertModel"]}
    (folder / "config.json").write_text(json.dumps({**sizes, **layers}))
    randomise(folder, seed)
    return folder


def randomise(folder: Path, seed: int) -> None:
    """Draw every weight of a tiny checkpoint anew, in place."""
    draw = np.random.RandomState(seed)
    words = len(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    shapes = {"embeddings.word_embeddings": (words, 16), "embeddings.position_embeddings": (64, 16)}
    shapes |= {"embeddings.token_type_embeddings": (2, 16), "encoder.layer.0.intermediate.dense": (32, 16)}
    shapes |= {f"encoder.layer.0.attention.self.{name}": (16, 16) for name in ("query", "key", "value")}
    shapes |= {"encoder.layer.0.attention.output.dense": (16, 16), "encoder.layer.0.output.dense": (16, 32)}
    weights = {f"{name}.weight": draw.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": np.zeros(shape[0], np.float32) for name, shape in shapes.items() if "layer" in name}
    for name in ("embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"):
        weights |= {f"{name}.LayerNorm.weight": np.ones(16, np.float32)}
        weights |= {f"{name}.LayerNorm.bias": np.zeros(16, np.float32)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
