"""A real daemon of the Android debug bridge, for tests with Python there and without."""

import os
import shutil
import subprocess
import time

import pytest

from tests.mobile.kept import made_once

SERIAL = "127.0.0.1:5555"
SOURCE = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} trixie main"
MIRROR = "http://deb.debian.org/debian"


def unpack_adbd(root):
    """Unpack Debian 13's adbd and all it needs under `root`; nothing is installed."""
    apt = root / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "sources.list").write_text(SOURCE.format(MIRROR) + "\n")
    (apt / "apt.conf").write_text(
        f'Dir::State "{apt}";\nDir::State::status "/dev/null";\nDir::Cache "{apt}";\n'
        f'Dir::Etc::sourcelist "{apt}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
        f'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\nDebug::NoLocking "true";\n'
    )
    environment = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    for words in (["update"], ["-y", "--download-only", "install", "adbd"]):
        run = ["apt-get", "-qq", "-o", "Acquire::Retries=2", *words]
        subprocess.run(run, check=True, env=environment, capture_output=True, timeout=240)
    for package in (apt / "archives").glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, root], check=True)
    shutil.rmtree(apt)


@pytest.fixture(scope="session")
def adbd():
    """The folder with adbd, kept from run to run."""
    if os.geteuid() != 0:
        pytest.skip("adbd in namespaces of its own needs root")
    for command in ("adb", "unshare", "nsenter", "ip", "apt-get", "dpkg"):
        if not shutil.which(command):
            pytest.skip(f"{command} is not there: apt install adb util-linux iproute2")
    try:
        return made_once("adbd", unpack_adbd)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        pytest.skip(f"Debian 13's adbd cannot be had here: {error} {said[-300:]!r}")


@pytest.fixture(scope="module")
def adb_server(adbd, tmp_path_factory):
    """A daemon that `adb` on the path reaches: its serial number, its temporary folder."""
    folder = tmp_path_factory.mktemp("adb")
    there = folder / "there"
    there.mkdir()
    real = shutil.which("adb")
    libraries = adbd / "usr/lib" / f"{os.uname().machine}-linux-gnu"
    loader = next(adbd.glob("usr/lib*/ld-linux-*"), None) or next(libraries.glob("ld-linux-*"))
    start = (
        f"ip link set lo up && TMPDIR={there} XDG_CACHE_HOME={there}/cache exec {loader} "
        f"--library-path {libraries}:{libraries}/android {adbd}/usr/lib/android-sdk/"
        f"platform-tools/adbd"
    )
    command = ["unshare", "-n", "-m", "-p", "-f", "--kill-child", "sh", "-c", start]
    shim = folder / "bin" / "adb"
    shim.parent.mkdir()
    with (
        open(folder / "log", "wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
        pytest.MonkeyPatch.context() as patch,
    ):
        # 5553: or else the client finds the daemon once more, as an emulator.
        shim.write_text(
            f"#!/bin/sh\nexport HOME={folder} ADB_LOCAL_TRANSPORT_MAX_PORT=5553\n"
            f'exec nsenter -t {process.pid} -n {real} "$@"\n'
        )
        shim.chmod(0o755)
        patch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
        try:
            for _ in range(50):
                done = subprocess.run(
                    ["adb", "connect", SERIAL], capture_output=True, text=True, check=False
                )
                if "connected to" in done.stdout:
                    break
                time.sleep(0.2)
            else:
                pytest.skip(f"adbd does not run here: {(folder / 'log').read_text()[-500:]}")
            yield SERIAL, there
        finally:
            subprocess.run(["adb", "kill-server"], capture_output=True, check=False)
            process.kill()  # unshare ends its child; it takes no gentler signal
