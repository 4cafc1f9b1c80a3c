import json
import subprocess
import sys
from pathlib import Path

import pytest

from mobile.pipeline.options import Options
from mobile.pipeline.run_folder import Store, folder_of
from mobile.progress import Silence

OPTIONS = Options().filled_in()


def _store(folder, overwrite=False, resume=False, options=OPTIONS):
    return Store(folder / "run", options, overwrite, resume)


def _finish(folder, text="{}", **options):
    """A run that does one stage and writes its results."""
    with _store(folder, **options) as store:
        store.stage("train", Silence(), lambda watch: {"loss": 1.5})
        results = {"networks": [], "timings": {}, "said": text}
        (store.folder / "results.json").write_text(json.dumps(results))


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_run_has_its_name_and_leaves_nothing_else(tmp_path):
    _finish(tmp_path)
    assert _names(tmp_path) == ["run"]
    assert _names(tmp_path / "run") == ["results.json"]


def test_stages_are_kept_and_not_done_again(tmp_path):
    said = r"kept in .*run\.unfinished: train\. Go on"
    with pytest.raises(KeyboardInterrupt, match=said), _store(tmp_path) as store:
        assert store.stage("train", Silence(), lambda watch: {"loss": 1.5}) == {"loss": 1.5}
        raise KeyboardInterrupt
    with _store(tmp_path, resume=True) as store:
        assert store.stage("train", Silence(), lambda watch: 1 / 0) == {"loss": 1.5}
        assert set(store.seconds) == {"train"}
    assert _names(tmp_path) == ["run"]


def test_a_failure_before_the_first_stage_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="broken"), _store(tmp_path):
        raise RuntimeError("broken")
    assert _names(tmp_path) == []


def test_two_runs_of_one_name_do_not_both_work(tmp_path):
    """In one process and in another; once both trained, and one died when it was done."""
    with pytest.raises(KeyboardInterrupt), _store(tmp_path) as store:
        store.stage("train", Silence(), lambda watch: 1)
        raise KeyboardInterrupt
    with _store(tmp_path, resume=True) as first:
        for options in ({"resume": True}, {"overwrite": True}):
            with (
                pytest.raises(ValueError, match=r"one run at a time.*--name"),
                _store(tmp_path, **options),
            ):
                pass
        code = (
            "import sys, pathlib; from mobile.pipeline.options import Options\n"
            "from mobile.pipeline.run_folder import Store\n"
            "with Store(pathlib.Path(sys.argv[1]), Options().filled_in(), True, False): pass"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "run"],
            capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
        )  # fmt: skip
        assert done.returncode == 1 and "one run at a time" in done.stderr
        assert (first.folder / "state.json").exists()
    assert _names(tmp_path) == ["run"]


def test_the_lock_goes_with_the_run_however_it_ends(tmp_path):
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), _store(tmp_path):
            raise error
    _finish(tmp_path)
    _finish(tmp_path, overwrite=True)


def test_overwriting_replaces_a_run_only_when_the_new_one_is_whole(tmp_path):
    _finish(tmp_path, "old")
    with pytest.raises(ValueError, match=r"another run\. Pass --name .*--overwrite to replace"):
        _store(tmp_path)
    with pytest.raises(RuntimeError), _store(tmp_path, overwrite=True):
        raise RuntimeError
    assert "old" in (tmp_path / "run" / "results.json").read_text()
    _finish(tmp_path, "new", overwrite=True)
    assert "new" in (tmp_path / "run" / "results.json").read_text()


@pytest.mark.parametrize("last", ["rmtree", "replace"])
def test_a_process_killed_while_it_replaces_a_run_leaves_one_that_is_whole(tmp_path, last):
    """Killed while the old run was being deleted, it left neither, and nothing to resume."""
    _finish(tmp_path, "old")
    code = (
        "import json, os, shutil, sys\n"
        "from pathlib import Path\n"
        "from mobile.pipeline.options import Options\n"
        "from mobile.pipeline.run_folder import Store\n"
        "from mobile.progress import Silence\n"
        "real = os.replace\n"
        "def rmtree(path, **options):\n"
        "    (Path(path) / 'results.json').unlink(missing_ok=True)\n"
        "    if Path(path).exists(): os.kill(os.getpid(), 9)\n"
        "def replace(source, target):\n"
        "    if Path(target).name == 'run': os.kill(os.getpid(), 9)\n"
        "    real(source, target)\n"
        "with Store(Path(sys.argv[1]), Options().filled_in(), True, False) as store:\n"
        "    store.stage('train', Silence(), lambda watch: 1)\n"
        "    text = json.dumps({'networks': [], 'timings': {}, 'said': 'new'})\n"
        "    (store.folder / 'results.json').write_text(text)\n"
        f"    {'shutil.rmtree = rmtree' if last == 'rmtree' else 'os.replace = replace'}\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "run"], check=False)
    assert done.returncode == -9
    if last == "replace":
        with _store(tmp_path, overwrite=True, resume=True) as store:
            assert store.stage("train", Silence(), lambda watch: 1 / 0) == 1
        assert _names(tmp_path / "run") == ["results.json"]
    assert "new" in (tmp_path / "run" / "results.json").read_text()


def test_an_unfinished_run_is_resumed_or_overwritten_when_that_is_asked_for(tmp_path):
    with pytest.raises(KeyboardInterrupt), _store(tmp_path) as store:
        store.stage("train", Silence(), lambda watch: 1)
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="--resume to go on with it, or --overwrite"):
        _store(tmp_path)
    other = Options(seed=3).filled_in()
    with pytest.raises(ValueError, match=r"they were: seed=0\. Pass these"):
        _store(tmp_path, resume=True, options=other)
    with _store(tmp_path, overwrite=True, options=other) as store:
        assert store.state["stages"] == {}
    with pytest.raises(ValueError, match=r"does not exist\. Leave out --resume"):
        _store(tmp_path / "elsewhere", resume=True)


@pytest.mark.parametrize("name", ["run", "run.unfinished"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_ours_is_left_as_it_is(tmp_path, name, overwrite):
    foreign = tmp_path / name
    foreign.mkdir()
    for file in ("results.json", "state.json", "letter.txt"):
        (foreign / file).write_text('{"mine": true}')
    with pytest.raises(ValueError, match=r"Pass --name|or pass --name"):
        _store(tmp_path, overwrite=overwrite)
    assert _names(foreign) == ["letter.txt", "results.json", "state.json"]


@pytest.mark.parametrize("name", ["run", "run.unfinished"])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_or_a_file_in_place_of_the_folder_is_refused_before_the_work(
    tmp_path, name, dangling
):
    """Of a link, deleting failed once everything was trained and timed."""
    _finish(tmp_path / "elsewhere")
    link = tmp_path / name
    link.symlink_to(tmp_path / ("nowhere" if dangling else "elsewhere/run"))
    with pytest.raises(ValueError, match="--name"):
        _store(tmp_path, overwrite=True)
    assert _names(tmp_path / "elsewhere" / "run") == ["results.json"]
    link.unlink()
    link.write_text("a file")
    with pytest.raises(ValueError, match="--name"):
        _store(tmp_path, overwrite=True)
    assert link.read_text() == "a file"


def test_what_came_while_the_run_worked_is_kept_and_so_is_the_run(tmp_path):
    with pytest.raises(ValueError, match="something else"), _store(tmp_path) as store:
        store.stage("train", Silence(), lambda watch: 1)
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "letter.txt").write_text("keep me")
    assert (tmp_path / "run" / "letter.txt").read_text() == "keep me"
    (tmp_path / "run" / "letter.txt").rename(tmp_path / "letter.txt")
    (tmp_path / "run").rmdir()
    with _store(tmp_path, resume=True) as store:
        assert store.stage("train", Silence(), lambda watch: 1 / 0) == 1


def test_a_place_where_nothing_can_be_written_is_named_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ValueError, match=r"where you may write.*--output"),
        _store(tmp_path / "file" / "below"),
    ):
        pass


@pytest.mark.parametrize(
    "state",
    [
        {"options": 3, "stages": {}, "seconds": {}},
        {"options": OPTIONS.to_dict(), "stages": [], "seconds": {}},
        {"options": OPTIONS.to_dict(), "stages": {}, "seconds": 1.5},
    ],
)
def test_a_damaged_state_is_not_resumed_and_left_as_it_is(tmp_path, state):
    folder = tmp_path / "run.unfinished"
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match="is no unfinished run, and is left as it is"):
        _store(tmp_path, resume=True)
    assert json.loads((folder / "state.json").read_text()) == state


def test_a_name_leads_to_one_folder_in_the_output(tmp_path):
    assert folder_of(tmp_path, "run 1.5") == tmp_path / "run 1.5"
    for name in ("", ".", "..", "a/b", "../a", "/etc/a", "a\0b", "x" * 201, 3):
        with pytest.raises(ValueError, match=r"`name` must be that of one folder.*--output"):
            folder_of(tmp_path, name)
