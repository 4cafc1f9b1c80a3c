import hashlib
import os
import resource
import shutil
import signal
import stat
import tempfile
import time

import pytest

from mobile.devices.agent import cache

OLD = time.time() - 40 * 86400


def digest(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home and a shared temporary folder of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    monkeypatch.setattr(cache, "ANDROID", str(tmp_path / "absent"))
    return tmp_path / "home"


def put(folder, name, changed=OLD):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(b"x")
    os.utime(path, (changed, changed))
    return path


def test_what_is_kept_is_fetched_and_only_whole(home):
    place = cache.open_cache()
    assert place == str(home / "keras-se" / "files")
    cache.keep(place, digest(b"model"), b"model")
    assert cache.fetch(place, digest(b"model")) == b"model"
    assert os.listdir(place) == [digest(b"model")]
    put(place, digest(b"other"))
    assert cache.fetch(place, digest(b"other")) is None


def test_relative_place_is_ignored(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.open_cache() == str(tmp_path / ".cache" / "keras-se" / "files")


def test_link_is_not_followed(home, tmp_path):
    place = cache.open_cache()
    (tmp_path / "elsewhere").write_bytes(b"model")
    os.symlink(tmp_path / "elsewhere", os.path.join(place, digest(b"model")))
    assert cache.fetch(place, digest(b"model")) is None


def test_pipe_of_that_name_does_not_hang(home):
    place = cache.open_cache()
    os.mkfifo(os.path.join(place, digest(b"model")))
    assert cache.fetch(place, digest(b"model")) is None


def test_old_files_go_and_nothing_that_is_not_ours(home, tmp_path):
    place = cache.open_cache()
    old, half = put(place, digest(b"a")), put(place, digest(b"b") + ".x1_z.part")
    kept = [put(place, digest(b"new"), time.time()), put(place, digest(b"used"))]
    kept += [put(place, name) for name in ("thesis.txt", "A" * 64, digest(b"c") + ".txt")]
    target = put(tmp_path, "letter")
    os.symlink(target, os.path.join(place, digest(b"link")))
    cache.prune(place, {digest(b"used")})
    assert not os.path.exists(old) and not os.path.exists(half)
    assert all(map(os.path.exists, [*kept, target, os.path.join(place, digest(b"link"))]))


def test_folder_that_is_a_link_is_not_the_cache(home, tmp_path):
    documents = tmp_path / "documents"
    documents.mkdir()
    (home / "keras-se").mkdir(parents=True)
    os.symlink(documents, home / "keras-se" / "files")
    place = cache.open_cache()
    assert place == str(tmp_path / "shared" / f"keras-se-{os.getuid()}" / "files")
    assert list(documents.iterdir()) == []


def test_cache_that_somebody_removes_or_guards_costs_no_job(home, monkeypatch):
    place = cache.open_cache()
    put(place, digest(b"a"))

    def guarded(path):
        raise PermissionError(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", guarded)
        cache.prune(place, ())
    shutil.rmtree(home)
    cache.keep(place, digest(b"model"), b"model")
    assert cache.fetch(place, digest(b"model")) is None
    cache.prune(place, ())
    assert not home.exists()


def test_oldest_go_once_all_is_larger_than_the_limit(home, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT_BYTES", 2)
    place, now = cache.open_cache(), time.time()
    names = [digest(bytes([age])) for age in range(4)]
    for age, name in enumerate(names):
        put(place, name, now - 60 * age)
    cache.prune(place, {names[3]})
    assert sorted(os.listdir(place)) == sorted([names[0], names[1], names[3]])


def test_full_disk_leaves_no_part_of_a_file(home):
    place = cache.open_cache()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        cache.keep(place, digest(bytes(5000)), bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(place) == []


def test_shared_folder_is_private_or_not_used(home, tmp_path, monkeypatch):
    home.write_bytes(b"")  # no folder can be made there
    place = cache.open_cache()
    ours = tmp_path / "shared" / f"keras-se-{os.getuid()}"
    assert place == str(ours / "files")
    assert stat.S_IMODE(os.stat(ours).st_mode) == stat.S_IMODE(os.stat(place).st_mode) == 0o700
    os.chmod(ours, 0o777)
    cache.open_cache()
    assert stat.S_IMODE(os.stat(ours).st_mode) == 0o755  # nobody else writes into it
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    ours.rename(tmp_path / "shared" / f"keras-se-{os.getuid()}")  # made by another user
    assert cache.open_cache() is None
