"""Files of data sets on the hub: found at a commit, verified, kept, and to be had without the hub afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlbench.errors import DataError
from mlbench.protocols import Silence
from mlbench.tasks import files, hub
from mlbench.tasks.task import DeclaredFile
from tests.hub_server import Hub, serving_hub

FILES = {"README.md": b"# card\n", "corpus/test.parquet": b"PAR1 corpus", "qrels/test.tsv": b"q\td\t1\n"}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Hub]:
    with serving_hub({"org/set": FILES}, tmp_path / "hub") as server:
        yield server


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLBENCH_OFFLINE", "1")


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("hf://datasets/org/set", ("org/set", None, "")),
        ("hf://datasets/org/set@main/de", ("org/set", "main", "de")),
        ("hf://datasets/org/my.set-1@v1.0/a/b c.tsv", ("org/my.set-1", "v1.0", "a/b c.tsv")),
        ("hf://datasets/org/set@refs/convert/parquet/de", ("org/set", "refs/convert/parquet", "de")),
        ("hf://datasets/org/set@refs%2Fpr%2F3", ("org/set", "refs/pr/3", "")),
    ],
)
def test_an_address_has_its_parts(address: str, parts: tuple[str, str | None, str]) -> None:
    found = hub.HubAddress.parse(address)
    assert (found.repository, found.revision, found.path) == parts
    assert hub.HubAddress.parse(str(found)) == found


@pytest.mark.parametrize(
    "address", ["hf://org/set", "hf://datasets/set", "hf://datasets/org/set/../../x", "hf://datasets/org/set@a/b//c"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(DataError, match="write hf://datasets/ORG/NAME@REVISION"):
        hub.HubAddress.parse(address)


def test_a_branch_is_listed_at_its_commit(there: Hub) -> None:
    listing = hub.list_files("hf://datasets/org/set")
    assert listing.commit == there.commit("org/set")
    assert set(listing.files) == set(FILES)
    assert listing.address("README.md") == there.address("org/set", "README.md")


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_fetched_once_and_then_found_without_the_hub(
    there: Hub, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = there.address("org/set", path)
    assert hub.find_file(address) is None
    assert hub.fetch_file(address).read_bytes() == FILES[path]
    there.asked.clear()
    offline(monkeypatch)
    found = hub.find_file(address)
    assert found is not None
    assert found.read_bytes() == FILES[path]
    assert hub.fetch_file(address) == found
    assert there.asked == []


def test_a_download_is_told_and_no_bar_is_drawn(there: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    class Told(Silence):
        done = 0

        def advance(self, done: int) -> None:
            self.done += done

    told = Told()
    for path in FILES:
        hub.fetch_file(there.address("org/set", path), progress=told)
        hub.fetch_file(there.address("org/set", path), progress=told)
    assert told.done == sum(map(len, FILES.values()))
    assert capfd.readouterr() == ("", "")


def test_what_another_library_has_fetched_is_verified_without_a_listing(
    there: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import hf_hub_download

    commit = there.commit("org/set")
    path = Path(hf_hub_download("org/set", "qrels/test.tsv", repo_type="dataset", revision=commit))
    offline(monkeypatch)
    address = there.address("org/set", "qrels/test.tsv")
    assert hub.find_file(address) == path
    path.resolve().write_bytes(b"q\td\t2\n")
    assert hub.find_file(address) is None


@pytest.mark.parametrize("path", ["corpus/test.parquet", "qrels/test.tsv"])
def test_what_arrives_damaged_is_refused(there: Hub, path: str) -> None:
    there.damaged.add(path)
    with pytest.raises(DataError, match=r"what arrived is altered: [0-9a-f]{12}\.\.\. instead of [0-9a-f]{12}\.\.\.$"):
        hub.fetch_file(there.address("org/set", path))


@pytest.mark.parametrize("path", ["corpus/test.parquet", "qrels/test.tsv"])
def test_a_damaged_copy_in_the_cache_is_fetched_again(there: Hub, path: str) -> None:
    address = there.address("org/set", path)
    hub.fetch_file(address).resolve().write_bytes(b"X" * len(FILES[path]))
    assert hub.find_file(address) is None
    assert hub.fetch_file(address).read_bytes() == FILES[path]


def test_a_branch_is_offline_what_it_was(there: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = hub.list_files("hf://datasets/org/set@main")
    offline(monkeypatch)
    there.asked.clear()
    assert hub.list_files("hf://datasets/org/set@main") == listing
    assert hub.list_files(there.address("org/set")) == listing
    assert there.asked == []
    with pytest.raises(DataError, match=r"^hf://datasets/org/set: it has not been listed on this machine"):
        hub.list_files("hf://datasets/org/set")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://datasets/org/other", "there is no such data set on the hub"),
        ("hf://datasets/org/set@v9", "the hub has no revision 'v9' of it"),
    ],
)
def test_what_the_hub_refuses_is_told_in_one_line(there: Hub, address: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        hub.list_files(address)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_data_set_with_terms_says_where_to_accept_them(there: Hub) -> None:
    there.gated.add("org/set")
    with pytest.raises(DataError, match=r"accept its terms: do so on \S+/datasets/org/set, then set HF_TOKEN"):
        hub.fetch_file(there.address("org/set", "README.md"))


def test_a_file_that_a_commit_has_not_is_refused(there: Hub) -> None:
    with pytest.raises(DataError, match="the data set has no such file at this commit"):
        hub.fetch_file(there.address("org/set", "nothing"))


def test_a_file_of_the_hub_is_declared_at_a_commit_without_a_checksum(there: Hub, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names no file at one commit"):
        DeclaredFile(path="a", url="hf://datasets/org/set@main/qrels/test.tsv")
    file = DeclaredFile(path="a/test.tsv", url=there.address("org/set", "qrels/test.tsv"))
    assert file.downloadable
    assert files.local(file) is None
    path = files.find(file)
    assert path.read_bytes() == FILES["qrels/test.tsv"]
    assert files.local(file) == path
    assert path.is_relative_to(there.cache)


def test_a_copy_in_a_folder_of_the_user_is_taken_where_it_is_the_original(there: Hub, tmp_path: Path) -> None:
    file = DeclaredFile(path="a/test.tsv", url=there.address("org/set", "qrels/test.tsv"))
    copied = files.download(file, tmp_path / "data")
    assert copied == tmp_path / "data" / "a" / "test.tsv"
    assert files.local(file, data_dir=tmp_path / "data") == copied
    copied.write_bytes(b"q\td\t2\n")
    with pytest.raises(DataError, match=r"is altered: .* replace it by the original, or remove it"):
        files.local(file, data_dir=tmp_path / "data")


def test_a_checksum_that_a_task_file_names_counts_beside_that_of_the_hub(there: Hub) -> None:
    content = FILES["qrels/test.tsv"]
    url = there.address("org/set", "qrels/test.tsv")
    file = DeclaredFile(path="a", url=url, sha256="0" * 64, bytes=len(content))
    with pytest.raises(DataError, match="what arrived is altered"):
        files.find(file)
