"""Files of data sets on the Hugging Face hub, at one commit, each verified against the digest that the hub has of it.

The files lie in the hub client's own cache (`$HF_HOME`), which other libraries share. No code of a data set is run.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest, sha1
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import quote, unquote

from mlbench.errors import DataError, MissingExtra
from mlbench.io.atomic import write_whole
from mlbench.io.cache import cache_dir, offline
from mlbench.protocols import SILENCE, Progress

PREFIX = "hf://"
_ADDRESS = re.compile(
    r"hf://datasets/(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>refs/(?:convert|pr)/[^/@]+|[^/@]+))?(?:/(?P<path>.*))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BLOCK = 1 << 20
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class HubAddress:
    """What `hf://datasets/ORG/NAME@REVISION/PATH` says; without `revision` it is the newest, `path` may be empty."""

    repository: str
    revision: str | None = None
    path: str = ""

    @classmethod
    def parse(cls, address: str) -> "HubAddress":
        """Return the parts of an address; a `/` in a revision may be written `%2F`. Raises `DataError`."""
        match = _ADDRESS.fullmatch(address)
        path = (match["path"] or "").strip("/") if match else ""
        if match is None or any(part in ("", ".", "..") for part in path.split("/") if path):
            raise DataError(f"{address} is no address of a data set: write hf://datasets/ORG/NAME@REVISION")
        return cls(match["repository"], unquote(match["revision"]) if match["revision"] else None, path)

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit (40 hex digits), so that the content cannot change."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        revision = f"@{quote(self.revision, safe='')}" if self.revision else ""
        return f"{PREFIX}datasets/{self.repository}{revision}" + (f"/{self.path}" if self.path else "")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a listing: its size, and the hub's digest of it, a SHA-256 (64 hex digits) or a git blob id (40)."""

    bytes: int
    digest: str


@dataclass(frozen=True)
class HubListing:
    """All files of a data set at one commit, by their paths."""

    repository: str
    commit: str
    files: Mapping[str, HubFile]

    def address(self, path: str = "") -> str:
        """Return the address of a file, or of the data set, at this commit."""
        return str(HubAddress(self.repository, self.commit, path))


def list_files(address: str) -> HubListing:
    """Return the files of the data set that `address` names, whatever its path.

    A revision that is no commit is looked up each time; where downloads are forbidden, it is what it was last time.
    Raises `DataError` in one line, `MissingExtra` where the hub's client is not installed.
    """
    wanted = HubAddress.parse(address)
    kept = _kept(wanted)
    if kept.is_file() and (wanted.is_pinned or offline()):
        return _read(wanted, kept)
    if offline():
        _refuse(wanted, "it has not been listed on this machine, and MLBENCH_OFFLINE or HF_HUB_OFFLINE is set")
    listing = _guarded(wanted, partial(_list, wanted))
    for place in {kept, _kept(HubAddress(listing.repository, listing.commit))}:
        _write(listing, place)
    return listing


def find_file(address: str) -> Path | None:
    """Return where the file at `address` lies in the hub client's cache, verified; None where it is not there.

    `address` names a commit. Nothing is asked of the hub but a listing, where nothing on this machine tells the digest.
    Raises as `list_files` does, and `DataError` for a path that the data set has not.
    """
    wanted = file_address(address)
    path = _guarded(wanted, partial(_cached, wanted))
    if path is None:
        return None
    return None if fault(path, known_digest(address) or _listed(wanted)) else path


def fetch_file(address: str, *, progress: Progress = SILENCE) -> Path:
    """Return the file at `address`, which names a commit, verified; what the cache has not is downloaded into it.

    What is downloaded is told to `progress`. Raises as `find_file` does.
    """
    wanted, path = file_address(address), find_file(address)
    if path is not None:
        return path
    if offline():
        _refuse(wanted, "it is not on this machine, and MLBENCH_OFFLINE or HF_HUB_OFFLINE forbids downloads")
    described = _listed(wanted)
    path = _guarded(wanted, partial(_download, wanted, progress, force=False))
    if fault(path, described):
        # The cache had a damaged copy: once more, from the hub.
        path = _guarded(wanted, partial(_download, wanted, progress, force=True))
    if wrong := fault(path, described):
        _refuse(wanted, f"what arrived {wrong}")
    return path


def known_digest(address: str) -> HubFile | None:
    """Return what this machine knows of the size and digest of a file at a commit, None where nothing.

    It is in a listing that was asked for before, or the name under which the hub's client has put the file.
    """
    wanted = file_address(address)
    if _kept(wanted).is_file():
        return _listed(wanted)
    path = _guarded(wanted, partial(_cached, wanted))
    blob = path.resolve() if path is not None else None
    return HubFile(blob.stat().st_size, blob.name) if blob is not None and _DIGEST.fullmatch(blob.name) else None


def fault(path: Path, described: HubFile) -> str:
    """Say what is wrong with a file, or return an empty text where size and digest are those that the hub has.

    Raises `DataError` where it cannot be read.
    """
    try:
        size = path.stat().st_size
        if size != described.bytes:
            return f"has {size:,} bytes instead of {described.bytes:,}"
        with path.open("rb") as stream:
            if len(described.digest) == 64:
                found = file_digest(stream, "sha256").hexdigest()
            else:
                blob = sha1(b"blob %d\0" % size, usedforsecurity=False)
                while block := stream.read(_BLOCK):
                    blob.update(block)
                found = blob.hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return "" if found == described.digest else f"is altered: {found[:12]}... instead of {described.digest[:12]}..."


def file_address(address: str) -> HubAddress:
    """Return the parts of the address of a file at one commit; raises `DataError` for any other."""
    wanted = HubAddress.parse(address)
    if not wanted.is_pinned or not wanted.path:
        raise DataError(f"{address} names no file at one commit: write hf://datasets/ORG/NAME@COMMIT/PATH")
    return wanted


def _listed(wanted: HubAddress) -> HubFile:
    listing = list_files(str(wanted))
    if wanted.path not in listing.files:
        _refuse(wanted, "the data set has no such file at this commit")
    return listing.files[wanted.path]


def _list(wanted: HubAddress) -> HubListing:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api, commit = HfApi(), wanted.revision
    if not wanted.is_pinned:
        commit = api.dataset_info(wanted.repository, revision=wanted.revision).sha
    entries = api.list_repo_tree(wanted.repository, repo_type="dataset", revision=commit, recursive=True)
    files = {
        entry.path: HubFile(entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
        for entry in entries
        if isinstance(entry, RepoFile)
    }
    return HubListing(wanted.repository, str(commit), files)


def _cached(wanted: HubAddress) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(wanted.repository, wanted.path, revision=wanted.revision, repo_type="dataset")
    return Path(found) if isinstance(found, str) else None


def _download(wanted: HubAddress, progress: Progress, *, force: bool) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import tqdm

    class Told(tqdm):
        """A progress bar of the hub's client that is not drawn, but told."""

        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options | {"disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            progress.advance(int(n or 0))

    path = hf_hub_download(
        wanted.repository,
        wanted.path,
        revision=wanted.revision,
        repo_type="dataset",
        force_download=force,
        tqdm_class=Told,
    )
    return Path(path)


def _guarded(wanted: HubAddress, ask: Callable[[], _Answer]) -> _Answer:
    """Ask the hub's client; whatever that raises becomes a `DataError` of one line."""
    try:
        from huggingface_hub import errors
    except ModuleNotFoundError as error:
        raise MissingExtra("hf:// data sets", "hf") from error
    try:
        return ask()
    except Exception as error:
        # The hub's client lets through errors of its own, of HTTP and of the file system alike.
        page = f"https://huggingface.co/datasets/{wanted.repository}"
        if isinstance(error, errors.GatedRepoError):
            reason = f"the hub asks you to accept its terms: do so on {page}, then set HF_TOKEN"
        elif isinstance(error, errors.RepositoryNotFoundError):
            reason = "there is no such data set on the hub: check the name, or set HF_TOKEN if it is private"
        elif isinstance(error, errors.RevisionNotFoundError):
            reason = f"the hub has no revision {wanted.revision!r} of it"
        elif isinstance(error, errors.HFValidationError):
            reason = "the hub takes no such name"
        else:
            told = " ".join(str(error).split())
            reason = f"the hub cannot be reached ({type(error).__name__}: {told:.120})"
        _refuse(wanted, reason, error)


def _refuse(wanted: HubAddress, reason: str, error: Exception | None = None) -> NoReturn:
    raise DataError(f"{wanted}: {reason}") from error


def _kept(wanted: HubAddress) -> Path:
    """Return where the listing of a revision is kept, in the cache folder."""
    revision = quote(wanted.revision or "HEAD", safe="")
    return cache_dir() / "hub" / wanted.repository.replace("/", "--") / f"{revision}.json"


def _read(wanted: HubAddress, kept: Path) -> HubListing:
    try:
        table = json.loads(kept.read_bytes())
        files = {str(path): HubFile(int(size), str(digest)) for path, (size, digest) in table["files"].items()}
        return HubListing(wanted.repository, str(table["commit"]), files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{kept} is damaged: remove it, and the hub is asked again") from error


def _write(listing: HubListing, kept: Path) -> None:
    files = {path: [file.bytes, file.digest] for path, file in sorted(listing.files.items())}
    # A cache that may only be read is no fault.
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, json.dumps({"commit": listing.commit, "files": files}).encode())
