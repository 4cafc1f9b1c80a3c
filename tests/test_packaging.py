"""What is packed: complete, free of strays, and tried away from the source tree."""

import ast
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STRAYS = ("runs/digits/run.json", "model.tflite", "tests/__pycache__/a.cpython-311.pyc")


@pytest.fixture(scope="module")
def tracked():
    """The files of the repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("what must be packed is known in a clone alone")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def packed(tracked, tmp_path_factory):
    """A folder with an sdist made among strays, and the wheel made of that sdist."""
    version = importlib.metadata.version("setuptools")
    if int(version.split(".")[0]) < 77:
        pytest.skip(f"setuptools {version} cannot pack this project: pip install 'setuptools>=77'")
    place = tmp_path_factory.mktemp("packed")
    for name in tracked:
        _write(place / "source" / name, (ROOT / name).read_bytes())
    for name in STRAYS:
        _write(place / "source" / name, b"")
    _build(place / "source", "build_sdist")
    with tarfile.open(next(place.glob("*.tar.gz"))) as sdist:
        sdist.extractall(place, filter="data")
    _build(place / f"keras_se-{PROJECT['version']}", "build_wheel")
    return place


@pytest.fixture(scope="module")
def installed(packed):
    """A folder with the wheel, and nothing else, installed."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, packed / "site", next(packed.glob("*.whl"))], check=True)
    return packed / "site"


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _build(folder, hook):
    code = f"from setuptools import build_meta; build_meta.{hook}('..')"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)


def _run(command, *paths):
    """Run a command away from the source tree, with these folders first on Python's path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(
        command, cwd=paths[-1], env=environment, capture_output=True, text=True, check=False
    )


def test_sdist_holds_the_repository_and_no_stray_file(packed, tracked):
    with tarfile.open(next(packed.glob("*.tar.gz"))) as sdist:
        files = {each.name.split("/", 1)[1] for each in sdist.getmembers() if each.isfile()}
    made = {name for name in files if re.match(r"PKG-INFO|setup\.cfg|keras_se\.egg-info/", name)}
    assert files - made == tracked - {".ci/run", ".gitignore"}


def test_wheel_holds_the_packages_whole_and_nothing_else(packed, tracked):
    with zipfile.ZipFile(next(packed.glob("*.whl"))) as wheel:
        files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = {name for name in tracked if name.startswith(("keras_se/", "mobile/"))}
    assert files == {name.removeprefix("mobile/cli/") if "_command/" in name else name
                     for name in sources}  # fmt: skip


def test_both_packages_import_from_the_wheel(installed):
    code = "import keras_se, mobile; print(keras_se.__file__, mobile.__file__, mobile.lower)"
    done = _run([sys.executable, "-c", code], installed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(installed)) == 2


def test_command_of_the_wheel_reads_the_data_that_it_came_with(installed):
    done = _run([installed / "bin" / "keras-se", "models"], installed)
    assert done.returncode == 0, done.stderr
    assert "mobilenet_v3_small" in done.stdout


def test_command_shows_its_help_without_importing_keras(installed):
    code = (
        "import keras_se_command, sys\nsys.argv[1:] = ['--help']\n"
        "try: keras_se_command.main()\nexcept SystemExit as end: status = end.code\n"
        "assert status == 0 and 'keras' not in sys.modules"
    )
    done = _run([sys.executable, "-c", code], installed)
    assert done.returncode == 0, done.stderr
    assert "benchmark" in done.stdout


@pytest.mark.parametrize("name", ["mobile.py", "mobile/__init__.py"])
def test_command_names_what_shadows_the_package_and_leaves_it_alone(installed, tmp_path, name):
    _write(tmp_path / name, b"raise SystemExit('ran')")
    done = _run([installed / "bin" / "keras-se", "--help"], tmp_path, installed)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("keras-se: `import mobile` must find")
    assert done.stderr.count("\n") == 1
    shadow = tmp_path / name.removesuffix("/__init__.py")
    assert f"Found before it on Python's path: {shadow}. Rename that" in done.stderr


def test_folder_called_mobile_without_code_shadows_nothing(installed, tmp_path):
    _write(tmp_path / "mobile" / "photo.jpg", b"")
    done = _run([installed / "bin" / "keras-se", "--help"], tmp_path, installed)
    assert done.returncode == 0, done.stderr


def test_command_left_behind_by_its_packages_says_so(installed, tmp_path):
    shutil.copytree(installed / "keras_se_command", tmp_path / "keras_se_command")
    code = "import keras_se_command; keras_se_command.main()"
    done = _run([sys.executable, "-S", "-c", code], tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.endswith("Install keras-se again.\n")


@pytest.mark.parametrize("package", ["keras_se", "mobile"])
def test_every_package_imported_is_a_declared_dependency(package):
    lines = PROJECT["dependencies"]
    extras = PROJECT["optional-dependencies"]
    if package == "mobile":
        lines = [*lines, *extras["mobile"], *extras["device"], *extras["tune"], "keras-se"]
    declared = {re.match(r"[\w-]+", line)[0].replace("-", "_") for line in lines}
    named = {"PIL": "pillow", "sklearn": "scikit_learn"}
    known = sys.stdlib_module_names | {package}
    for path in (ROOT / package).rglob("*.py"):
        for name in _imported(ast.parse(path.read_text())):
            beside = path.with_name(f"{name}.py").exists()  # the agent's far end runs as a script
            assert beside or name in known or named.get(name, name) in declared, (path, name)


def _imported(tree):
    """Yield the first part of each name that is imported anywhere in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]
