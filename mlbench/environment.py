"""What a run ran on, for the result document."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

from mlbench.results import Environment
from mlbench.version import __version__

_LIBRARIES = ("numpy", "tokenizers", "torch", "transformers", "sentence-transformers")


def describe_environment(command: str | None) -> Environment:
    """Return versions, machine, command and the git commit of the current folder, as far as they are known."""
    return Environment(
        mlbench=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        cpus=os.cpu_count(),
        libraries={name: found for name in _LIBRARIES if (found := _version(name))},
        command=None if command is None else command.encode("utf-8", "backslashreplace").decode(),
        git_commit=_git_commit(),
    )


def peak_bytes() -> int | None:
    """Return the most memory this process has held, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # only POSIX systems have it
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _version(library: str) -> str | None:
    # A library that was not imported had no part in the run.
    if library.replace("-", "_") not in sys.modules:
        return None
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
