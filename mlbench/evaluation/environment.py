"""What a run ran on, for the result document."""

import os
import platform
import subprocess
import sys
from pathlib import Path

from mlbench.errors import UserError
from mlbench.io.libraries import versions_imported
from mlbench.results import Environment
from mlbench.version import __version__


def describe_environment(command: str | None) -> Environment:
    """Return versions, machine, command and the git commit of the current folder, as far as they are known."""
    return Environment(
        mlbench=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        cpus=os.cpu_count(),
        libraries=versions_imported(),
        command=None if command is None else command.encode("utf-8", "backslashreplace").decode(),
        git_commit=next(iter(git_lines("rev-parse", "HEAD")), None),
    )


def code_commit() -> str | None:
    """Return the git commit of the checkout that this package is run from; None where it is installed elsewhere."""
    package = Path(__file__).resolve().parents[1]
    found = git_lines("-C", str(package), "rev-parse", "--show-toplevel", "HEAD")
    return found[1] if len(found) == 2 and Path(found[0]).resolve() == package.parent else None


def commit_of(folder: Path) -> str:
    """Return the commit that brought what lies in `folder` to the current branch as it is now.

    It is the last one in the history of first parents that changes the folder: of what was merged, it is the merge.
    Raises `UserError` where there is no such commit, the folder has other content, or the history is cut off.
    """
    inside = ("-C", str(folder))
    if git_lines(*inside, "rev-parse", "--is-shallow-repository") != ["false"]:
        raise UserError(f"{folder} is in no git checkout with its whole history: fetch that, or give --seed")
    found = git_lines(*inside, "log", "-1", "--first-parent", "--format=%H", "--", ".")
    if not found or git_lines(*inside, "status", "--porcelain", "--", "."):
        raise UserError(f"{folder} is not committed as it is: commit it, or give --seed")
    return found[0]


def peak_bytes() -> int | None:
    """Return the most memory this process has held, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # only POSIX systems have it
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def git_lines(*arguments: str) -> list[str]:
    """Return the lines that git prints; none where it fails or is not there."""
    try:
        found = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return found.stdout.splitlines() if found.returncode == 0 else []
