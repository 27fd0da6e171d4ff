"""From a recipe to a checkpoint with its manifest, once; every fault of recipe and data in one message."""

import json
import resource
import shutil
import subprocess
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from encoders import read_data, recipe_of, save_encoder, write_rows
from static_cases import RECIPE, static_recipe, write_task

from mlbench.errors import DataError, InvalidRecipe, MissingExtra, UserError
from mlbench.io.lock import locked
from mlbench.protocols import Runtime, Silence
from mlbench.provenance import MANIFEST, Provenance, read_manifest, read_provenance
from mlbench.training import manifest as manifests
from mlbench.training import train as fitting
from mlbench.training.manifest import Destination, Manifest, training_fingerprint
from mlbench.training.recipe import Recipe
from mlbench.training.train import fit, open_recipe
from mlbench.version import __version__

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_rows(tmp_path / "rows.jsonl", 200)
    (tmp_path / "toy.toml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were trained to, one for each time."""
    folders: list[Path] = []
    train = fitting._train

    def remember(recipe: object, data: object, folder: Path, **options: object) -> object:
        folders.append(folder)
        return train(recipe, data, folder, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(fitting, "_train", remember)
    return folders


def fitted(recipe: Recipe, folder: Path) -> Provenance:
    return fit(recipe, read_data(recipe), Destination(folder), command="mlbench train toy.toml")


def tree(folder: Path) -> dict[str, str]:
    """Return what is in a folder: the text of each file, and where each link leads."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_bytes().decode(errors="replace")
    return found


def manifest(folder: Path) -> Manifest:
    found = read_manifest(folder)
    assert found is not None
    return found


class TestManifest:
    def test_says_what_results_keep(self, root: Path) -> None:
        recipe = static_recipe(root)
        provenance = fitted(recipe, root / "out")
        assert provenance == read_provenance(root / "out")
        assert provenance.name == "toy"
        assert provenance.recipe == recipe.model_dump(mode="json")
        assert provenance.recipe_fingerprint == recipe.fingerprint()
        assert (provenance.seed, provenance.steps) == (3, 20)
        assert provenance.contamination is None
        (data,) = provenance.data
        assert (data.name, data.fingerprint, data.rows) == (
            "rows",
            read_data(recipe).training.rows[0].content,
            200,
        )

    def test_says_all_else(self, root: Path) -> None:
        recipe = static_recipe(root, validation={"share": 0.2, "every": 10, "batches": 3}, views={"overlap": 0.25})
        fitted(recipe, root / "out")
        found = manifest(root / "out")
        assert {key: found[key] for key in ("steps", "batches", "best_step", "stopped_early", "seed", "threads")} == {
            "steps": 20,
            "batches": 20,
            "best_step": 20,
            "stopped_early": False,
            "seed": 3,
            "threads": 1,
        }
        assert [step for step, _ in found["losses"]] == [step for step, _ in found["held_out_losses"]] == [10, 20]
        assert found["views"] == {"overlap": 0.25}
        (data,), (held_out,) = found["data"], found["held_out"]
        assert data["rows"] == held_out["rows"] == 200 == data["used_rows"] + held_out["used_rows"]
        assert (data["languages"], data["licence"]) == (["de", "en", "fr"], "not stated")
        assert sum(found["tally"]["kinds"].values()) == 20
        assert found["tally"]["examples"] == 320
        assert [(use["dataset"], use["language"]) for use in found["epochs"]] == [("rows", t) for t in recipe.languages]
        assert sum(use["epochs"] * use["texts"] for use in found["epochs"]) == pytest.approx(640, rel=1e-3)
        assert found["environment"]["command"] == "mlbench train toy.toml"
        assert found["environment"]["libraries"].keys() >= {"torch", "sentence-transformers", "tokenizers", "datasets"}
        assert found["code_version"] == __version__

    def test_tells_the_commit_of_a_checkout(self, root: Path) -> None:
        package = Path(fitting.__file__).parents[2]
        done = subprocess.run(
            ["git", "-C", str(package), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
        expected = done.stdout.strip() if (package / ".git").exists() else None
        assert fitted(static_recipe(root), root / "out").code_commit == expected

    def test_of_two_arms_tells_that_they_are_equal(self, root: Path) -> None:
        digests = set()
        for alpha in (0.0, 0.5):
            fitted(static_recipe(root, batches={"size": 16, "alpha": alpha}), root / str(alpha))
            digests.add(manifest(root / str(alpha))["rows_digest"])
        assert len(digests) == 1

    def test_says_what_was_found_of_evaluation_texts(self, root: Path) -> None:
        question = json.loads((root / "rows.jsonl").read_text().splitlines()[7])["texts"]["en"]
        task = write_task(root / "task", {"de": question})
        recipe = static_recipe(root, contamination={"tasks": [str(task)], "action": "drop"})
        provenance = fitted(recipe, root / "out")
        assert provenance == read_provenance(root / "out")
        assert provenance.contamination is not None
        assert provenance.contamination.model_dump() == {
            "tasks": ("task",),
            "texts": 600,
            "hits": 1,
            "rows": {"rows": 1},
        }
        found = manifest(root / "out")["contamination"]
        assert found["action"] == "drop"
        assert found["threshold"] == {"characters": 15, "share": 0.5, "words": 13, "stretch": 25}
        assert found["counts"][0]["texts"] == 1
        assert manifest(root / "out")["data"][0]["used_rows"] == 199

    def test_stays_small(self) -> None:
        losses = tuple((step, 1.0 + step % 2) for step in range(1, 100_001))
        thinned = manifests._thinned(losses)
        assert isinstance(thinned, list)
        assert len(thinned) == 500
        assert thinned[0] == [200, 1.5]
        assert thinned[-1] == [100_000, 1.5]

    def test_comes_last(self, root: Path, monkeypatch: pytest.MonkeyPatch, once: list[Destination]) -> None:
        recipe = static_recipe(root)

        def fail(*arguments: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(fitting, "write_manifest", fail)
            with pytest.raises(KeyboardInterrupt):
                fitted(recipe, root / "out")
        assert (root / "out" / "modules.json").exists()
        assert not (root / "out" / MANIFEST).exists()
        before = (root / "out" / "model.safetensors").read_bytes()
        # What was done is not done again, though the command is.
        assert fitted(recipe, root / "out").steps == 20
        assert (root / "out" / "model.safetensors").read_bytes() == before
        assert len(once) == 2
        assert {path.name for path in (root / "out").iterdir()} == {
            MANIFEST,
            "1_Normalize",
            "config_sentence_transformers.json",
            "model.safetensors",
            "modules.json",
            "tokenizer.json",
        }


class TestOnce:
    def test_a_finished_training_is_returned(self, root: Path, once: list[Destination]) -> None:
        first = fitted(static_recipe(root), root / "out")
        before = (root / "out" / MANIFEST).stat().st_mtime_ns
        assert fitted(static_recipe(root, name="renamed"), root / "out") == first
        assert once == [Destination(root / "out")]
        assert (root / "out" / MANIFEST).stat().st_mtime_ns == before

    def test_nothing_is_left_to_resume_from(self, root: Path, once: list[Destination]) -> None:
        fitted(static_recipe(root), root / "out")
        # As if it had been killed right after its manifest.
        (root / "out" / ".training").mkdir()
        fitted(static_recipe(root), root / "out")
        assert not (root / "out" / ".training").exists()
        assert len(once) == 1

    def test_another_recipe_needs_another_folder(self, root: Path, once: list[Destination]) -> None:
        fitted(static_recipe(root), root / "out")
        weights = sha256((root / "out" / "model.safetensors").read_bytes()).hexdigest()
        for other, name in (
            (static_recipe(root, seed=4), "another recipe"),
            (static_recipe(root, name="b", seed=4), "toy"),
        ):
            with pytest.raises(UserError, match=f"holds a model of (recipe )?{name}, or of other data: .* --out$"):
                fitted(other, root / "out")
        assert sha256((root / "out" / "model.safetensors").read_bytes()).hexdigest() == weights
        assert len(once) == 1

    def test_other_data_need_another_folder(self, root: Path) -> None:
        fitted(static_recipe(root), root / "out")
        write_rows(root / "rows.jsonl", 200, seed=1)
        with pytest.raises(UserError, match="or of other data"):
            fitted(static_recipe(root), root / "out")

    def test_a_model_of_others_is_left_alone(self, root: Path) -> None:
        (root / "out").mkdir()
        (root / "out" / "modules.json").write_text("[]")
        with pytest.raises(UserError, match="holds a model that mlbench did not train: name another folder"):
            fitted(static_recipe(root), root / "out")
        assert (root / "out" / "modules.json").read_text() == "[]"

    @pytest.mark.parametrize(
        ("name", "kind", "fault"),
        [
            ("notes.txt", "file", "is not empty, it holds notes.txt: name a new folder with --out"),
            ("model.safetensors", "file", "is not empty, it holds model.safetensors: name a new"),
            ("model.safetensors", "link", "is not empty, it holds model.safetensors: name a new"),
            ("1_Normalize", "folder", "is not empty, it holds 1_Normalize: name a new"),
            ("1_Normalize", "link", "is not empty, it holds 1_Normalize: name a new"),
            ("modules.json", "file", "holds a model that mlbench did not train: name another folder"),
            (".training", "file", "is not a folder that mlbench made: name another folder with --out"),
            (".training", "link", "is not a folder that mlbench made: name another folder with --out"),
            # These are in nobody's way.
            (".gitignore", "file", ""),
            (".training", "folder", ""),
        ],
    )
    def test_files_of_others_stay_as_they_are(self, root: Path, name: str, kind: str, fault: str) -> None:
        out, theirs = root / "out", root / "theirs"
        out.mkdir()
        theirs.mkdir()
        (theirs / "notes.txt").write_text("mine")
        if kind == "link":
            (out / name).symlink_to(theirs)
        elif kind == "folder":
            shutil.copytree(theirs, out / name)
        else:
            (out / name).write_text("mine")
        before = tree(out)
        if fault:
            with pytest.raises(UserError, match=fault):
                fitted(static_recipe(root), out)
            assert tree(out) == before
        else:
            fitted(static_recipe(root), out)
            assert before.items() <= tree(out).items()
        assert tree(theirs) == {"notes.txt": "mine"}

    def test_a_file_that_came_while_it_trained_stays(self, root: Path, once: list[Destination]) -> None:
        class Writing(Silence):
            def finish(self) -> None:
                (root / "out" / "tokenizer.json").write_text("mine")

        recipe = static_recipe(root)
        with pytest.raises(
            UserError, match=r"tokenizer\.json was not written by this training: move it away, and give"
        ):
            fit(recipe, read_data(recipe), Destination(root / "out"), progress=Writing())
        assert [path.name for path in (root / "out").glob("[!.]*")] == ["tokenizer.json"]
        assert (root / "out" / "tokenizer.json").read_text() == "mine"
        (root / "out" / "tokenizer.json").rename(root / "mine.json")
        assert fitted(recipe, root / "out") == read_provenance(root / "out")
        assert (root / "out" / "tokenizer.json").read_text() != "mine"

    def test_the_work_of_others_is_not_removed(self, root: Path) -> None:
        out = root / "out"
        (out / ".training" / "0123456789abcdef").mkdir(parents=True)
        (out / ".training" / "theirs").mkdir()
        (out / ".training" / "fedcba9876543210").symlink_to(root)
        fitted(static_recipe(root), out)
        assert sorted(path.name for path in (out / ".training").iterdir()) == ["fedcba9876543210", "theirs"]
        assert (root / "rows.jsonl").is_file()

    def test_a_full_disk_is_told_and_costs_nothing(self, root: Path) -> None:
        recipe = static_recipe(root, static={"pieces": 200, "dim": 512})
        data = read_data(recipe)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        try:
            with pytest.raises(
                UserError, match=r"^there is no room for .*out: make some, and the same command goes on"
            ):
                fit(recipe, data, Destination(root / "out"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert [path.name for path in (root / "out").iterdir()] == [".training"]
        assert fit(recipe, data, Destination(root / "out")) == read_provenance(root / "out")

    def test_a_folder_that_cannot_be_made_is_told(self, root: Path) -> None:
        # Names of more than 255 bytes are refused by the file system, whoever asks.
        with pytest.raises(
            UserError, match=r"^cannot write to .*: File name too long: name another folder with --out$"
        ):
            fitted(static_recipe(root), root / ("o" * 300))

    def test_two_at_once_are_refused(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recipe, out = static_recipe(root), root / "out"
        out.mkdir()
        with locked(out):
            with pytest.raises(
                UserError, match=r"^another training is going on in .*: wait for its end, or name another"
            ):
                fitted(recipe, out)
            assert list(out.iterdir()) == []
            # The second process of one training.
            monkeypatch.setenv("RANK", "1")
            assert fitted(recipe, out).steps == 20

    @pytest.mark.parametrize(
        "content",
        ["{", "[]", "\udcff", "[" * 100_000, '{"steps": NaN}'],
        ids=["torn", "a list", "no text", "deep", "no number"],
    )
    def test_a_damaged_manifest_is_told(self, root: Path, content: str) -> None:
        (root / "out").mkdir()
        (root / "out" / MANIFEST).write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(DataError, match=MANIFEST):
            fitted(static_recipe(root), root / "out")

    def test_a_file_is_no_folder(self, root: Path) -> None:
        with pytest.raises(UserError, match="is not a folder"):
            fitted(static_recipe(root), root / "rows.jsonl")

    def test_one_process_of_many_writes(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recipe = static_recipe(root)
        fitted(recipe, root / "out")
        expected = read_provenance(root / "out")
        train = fitting._train
        monkeypatch.setattr(fitting, "_train", lambda *args, **options: replace(train(*args, **options), is_main=False))
        assert fitted(recipe, root / "other") == expected
        assert not (root / "other" / MANIFEST).exists()
        assert (root / "other" / ".training").is_dir()


class TestFingerprint:
    def test_knows_recipe_and_rows(self, root: Path) -> None:
        recipes = [
            static_recipe(root),
            static_recipe(root, seed=4),
            static_recipe(root, data_fraction=0.5),
            static_recipe(root, validation={"share": 0.1}),
        ]
        found = [training_fingerprint(recipe, read_data(recipe)) for recipe in recipes]
        assert len(set(found)) == 4
        assert found[0] == training_fingerprint(static_recipe(root, name="b"), read_data(recipes[0]))

    def test_knows_rows_that_are_left_out(self, root: Path) -> None:
        recipe = static_recipe(root)
        data = read_data(recipe)
        (index,) = data.training.indexes
        fewer = replace(data, training=replace(data.training, indexes=(index.without(index.pattern < 0),)))
        assert training_fingerprint(recipe, data) == training_fingerprint(recipe, fewer)
        dropped = index.pattern < 0
        dropped[3] = True
        fewer = replace(data, training=replace(data.training, indexes=(index.without(dropped),)))
        assert training_fingerprint(recipe, data) != training_fingerprint(recipe, fewer)


class TestOpenRecipe:
    def test_returns_recipe_and_data(self, root: Path) -> None:
        recipe, data = open_recipe(str(root / "toy.toml"), {"alpha": 0.25})
        assert recipe.batches.alpha == 0.25
        assert [rows.name for rows in data.training.rows] == ["rows"]

    def test_all_faults_come_in_one_message(self, root: Path) -> None:
        question = json.loads((root / "rows.jsonl").read_text().splitlines()[7])["texts"]["en"]
        task = write_task(root / "task", {"de": question})
        text = RECIPE.replace("size = 16", "sise = 16\nalpha = 1.5").replace('"fr"]', '"fr", "sw"]')
        text += f"\n[contamination]\ntasks = ['{task}']\n"
        (root / "toy.toml").write_text(text)
        with pytest.raises(InvalidRecipe) as raised:
            open_recipe(str(root / "toy.toml"), {"stepz": 3})
        message = str(raised.value)
        assert "\n" not in message
        assert len(raised.value.faults) == 5
        for part in (
            "toy.toml: 5 faults: unknown key of recipes 'stepz': did you mean steps?",
            "batches.sise: unknown key: did you mean size?",
            "batches.alpha: input should be less than or equal to 1, not 1.5",
            "languages: no data for sw: the data sets have de, en, fr",
            "contamination: training text contains text of task: rows of rows 1; rows, en, text: task question in 1 of",
        ):
            assert part in message

    def test_without_libraries(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fitting, "find_spec", lambda name: None if name == "accelerate" else object())
        with pytest.raises(MissingExtra, match=r"^train and sweep need: pip install 'mlbench\[train\]'$"):
            open_recipe(str(root / "toy.toml"))
        # Faults of the recipe itself are told all the same.
        with pytest.raises(InvalidRecipe, match=r"1 fault: batches\.alpha"):
            open_recipe(str(root / "toy.toml"), {"alpha": 2})


def test_a_transformer_is_fitted_as_well(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 60)
    recipe = recipe_of(save_encoder(tmp_path / "bert", "bert"), tmp_path / "rows.jsonl", steps=2)
    data = read_data(recipe)
    provenance = fit(recipe, data, Destination(tmp_path / "out"), progress=Silence(), runtime=Runtime("cpu", 1))
    assert provenance == read_provenance(tmp_path / "out")
    found = manifest(tmp_path / "out")
    assert (found["steps"], found["batches"], found["device"]) == (2, 2, "cpu")
    assert found["tally"]["examples"] == 16
    assert not (tmp_path / "out" / ".training").exists()
