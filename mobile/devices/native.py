"""An Android device without Python, measured by TFLite's native tool."""

import contextlib
import hashlib
import pathlib
import re
import secrets
import shlex
import tempfile
from collections.abc import Callable, Mapping

from mobile.devices import adb, benchmark_model
from mobile.devices.agent.cache import LIMIT_DAYS
from mobile.devices.agent.interleaving import order_of
from mobile.devices.agent.job import TIMEOUT_S, kernels_of, row_name
from mobile.devices.agent.machine import cpu_name
from mobile.devices.agent.supervisor import last_words
from mobile.devices.base import LIMIT_S, AgentError, Answer

_BLOCKS = 10  # the native tool tells means only: so many means a model
_PLACES = ("/data/local/tmp", "/tmp")


class NativeDevice:
    """A device without Python: runs `benchmark_model`, and answers as the agent does.

    It does not tell single times, nor outputs: each time is the mean of a tenth of the runs, and
    nothing says whether the answers are right. Models take turns as they do under the agent.

    Args:
        serial: As `adb devices` lists it; None for the only one.
        native: Path of the tool on this machine.
        timeout_s: How long a job may take, unless it says so itself.
    """

    def __init__(self, serial: str | None, native, timeout_s: float = LIMIT_S):
        self.name, self.adb = adb.name_of(serial), adb.command(serial)
        self.native, self.timeout_s = pathlib.Path(native).expanduser(), timeout_s
        if not self.native.is_file():
            raise ValueError(
                f"`benchmark_model` must be a file on this machine. Received: {str(native)!r}. "
                f"Build it from LiteRT's tflite/tools/benchmark for the device's processor."
            )

    def run(
        self,
        job: dict,
        files: Mapping[str, bytes],
        update: Callable[[Answer], object] | None = None,
    ) -> Answer:
        """Do a benchmark job; see `Device.run`.

        Raises:
            AgentError: The connection fails, or the job is another.
        """
        if job["job"] != "benchmark":
            raise AgentError(f"benchmark_model cannot {job['job']}: it gives no outputs")
        result = {"error": None, "models": {}, "failures": [], "conditions": None}

        def tell():
            if update:
                update(Answer(result, {}))

        try:
            self._measure(job, files, result, tell)
        except AgentError as error:
            answer = Answer(result, {})
            raise AgentError(error.reason, error.stage, error.model, answer) from None
        return Answer(result, {})

    def _measure(self, job, files, result, tell):
        threads = job.get("threads") or 1
        folder = self._folder()
        tool = self._send(folder, self.native.read_bytes())
        self._shell(f"chmod 700 {folder}/{tool}")
        result["conditions"] = said = self._conditions(threads)
        said["runtime_version"] = f"sha256 {tool[:12]}"
        start = f"cd {folder} && " + self._pinned(said, threads) + f"./{tool} "

        def run(model, graph, runs, profile=False):
            shapes = dict(zip(model.get("input_names", ()), model.get("shape", ()), strict=True))
            words = benchmark_model.arguments(
                graph, runs, job["warmups"], threads, kernels_of(model, job), profile, shapes
            )
            limit = (job.get("timeout_s") or TIMEOUT_S) * (runs + job["warmups"] + 2)
            return self._tool(start + shlex.join(words), min(limit, self.timeout_s))

        rows, entries = result["models"], {}
        for model in job["models"]:
            graph = self._send(folder, files[model["file"]])
            found, reason = run(model, graph, _BLOCKS, profile=True)
            if found is None:
                failure = {"name": model["name"], "stage": "run", "message": reason}
                result["failures"].append(failure)
            else:
                entries[model["name"]] = model, graph
                del found["mean_ms"]
                row = {"of": model["name"], "fallback_of": None, "control_of": None}
                row |= {"kernels": kernels_of(model, job), "outputs": {}, "unseen": True}
                rows[model["name"]] = {**row, "delegates": None, "times_ms": [], **found}
            tell()
        if job.get("control") and entries:
            control = job["control"] if job["control"] in entries else next(iter(entries))
            twin = row_name(control, "again", [model["name"] for model in job["models"]])
            entries[twin] = entries[control]
            rows[twin] = {**rows[control], "control_of": control, "times_ms": []}
        for turn in range(_BLOCKS if entries else 0):
            for name in order_of(turn, entries):
                if name not in entries:
                    continue
                model, graph = entries[name]
                found, reason = run(model, graph, max(1, -(-job["runs"] // _BLOCKS)))
                if found is None:
                    of = rows[name]["of"]
                    result["failures"].append({"name": of, "stage": "time", "message": reason})
                    for gone in [n for n in entries if rows[n]["of"] == of]:
                        del entries[gone], rows[gone]
                else:
                    rows[name]["times_ms"].append(found["mean_ms"])
            tell()
            if not entries:
                break

    def _tool(self, command, limit_s):
        """Run the tool; return what it says, or why it says nothing."""
        # `timeout` ends it there also when the connection is gone.
        line = f"timeout {int(limit_s)} sh -c {shlex.quote(command)} 2>&1"
        done = self._shell(line, limit_s + 30)
        found = benchmark_model.parse(done.stdout)
        if found and done.returncode == 0:
            return found, None
        if done.returncode == 124:
            return None, f"took longer than {limit_s:g} s"
        words = last_words(done.stdout.replace("INFO: ", "").encode())
        return None, f"benchmark_model left with status {done.returncode}: {words}"

    def _shell(self, line, limit_s=60):
        """Run a line on the device; return its status and output."""
        # The mark tells a status of the line from a failure of adb.
        done = adb.run(
            [*self.adb, "shell", "-T", f"{line}; printf '\\nkeras-se status %d\\n' $?"], limit_s
        )
        ended = re.search(r"\nkeras-se status (\d+)\s*$", done.stdout)
        if not ended:
            words = done.stderr.strip() or done.stdout.strip()[-300:] or "adb said nothing"
            raise AgentError(f"{self.name} must answer. Received: {words}. {adb.ADVICE}", "connect")
        done.returncode, done.stdout = int(ended.group(1)), done.stdout[: ended.start()]
        return done

    def _folder(self):
        """Return a folder on the device that only we can write to, made where it is missing."""
        user = self._shell("id -u").stdout.strip()
        # As `ls -l` shows it: no link, of this user, and not for others to write to.
        ours = re.compile(rf"d.{{4}}-..-.\S*\s+\d+\s+{re.escape(user)}\s")
        for base in _PLACES:
            folder = f"{base}/keras-se-{user}"
            if ours.match(
                self._shell(f"mkdir -m 700 {folder} 2>/dev/null; ls -ldn {folder}").stdout
            ):
                digest = "[0-9a-f]" * 64
                names = f"'(' -name '{digest}' -o -name '{digest}.*part' ')'"
                old = f"-maxdepth 1 -type f -mtime +{LIMIT_DAYS} {names}"
                self._shell(f"find {folder} {old} -exec rm -f {{}} +")
                return folder
        raise AgentError(
            f"{self.name} must have a writable {_PLACES[0]}. Received: none, or one with a "
            f"keras-se-{user} that is not this user's alone. Remove that.",
            "connect",
        )

    def _send(self, folder, content):
        """Put a file into the folder if it is not there as it should be; return its name."""
        name = hashlib.sha256(content).hexdigest()
        path = f"{folder}/{name}"
        if self._sha256(path) == name:
            return name
        part = f"{path}.{secrets.token_hex(4)}.part"  # another job may be sending the same
        try:
            with tempfile.NamedTemporaryFile() as file:
                file.write(content)
                file.flush()
                done = adb.run([*self.adb, "push", file.name, part], 600)
            if done.returncode == 0 and self._sha256(part) in (name, None):
                done = self._shell(f"mv -f {part} {path}")
                if done.returncode == 0:
                    return name
        finally:
            with contextlib.suppress(AgentError):  # what went wrong first is what is told
                self._shell(f"rm -f {part}")
        said = (done.stderr or done.stdout).strip() or "a file that is not the one sent"
        raise AgentError(
            f"{self.name} must take files into {folder}. Received: {said}. Make room there.",
            "connect",
        )

    def _sha256(self, path):
        """Return the fingerprint of a file on the device; None if the device has no such tool."""
        done = self._shell(f"sha256sum {path}", 600)
        return None if done.returncode in (126, 127) else done.stdout.partition(" ")[0]

    def _conditions(self, threads):
        """Describe the device, as far as its files and properties tell."""
        properties = "ro.product.model ro.soc.model ro.board.platform ro.build.version.release"
        gets = "; ".join(f'echo "$(getprop {name} 2>/dev/null)"' for name in properties.split())
        text = self._shell(f"uname -m; uname -sr; nproc; {gets}").stdout.splitlines()
        machine, system, cores, model, chip, board, release = (*text, "", "", "", "")[:7]
        at = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
        governor = self._shell(f"cat {at}").stdout.strip()
        memory = re.search(r"MemTotal:\s*(\d+)", self._shell("cat /proc/meminfo").stdout)
        return {
            "machine": machine,
            "cpu": cpu_name(self._shell("cat /proc/cpuinfo").stdout),
            "runtime": "benchmark_model",
            "pinned_cores": [],
            "system": f"Android {release}, {system}" if release else system,
            "governor": governor or None,
            "started": self._shell("date +%Y-%m-%dT%H:%M:%S%z").stdout.strip(),
            "model": model,
            "soc": chip or board,
            "cores": int(cores),
            "memory_bytes": memory and int(memory.group(1)) * 1024,
        }

    def _pinned(self, said, threads):
        """Return what starts a program on the last cores, where the device has it."""
        if self._shell("command -v taskset").returncode:
            return ""
        last = range(max(0, said["cores"] - threads), said["cores"])
        said["pinned_cores"] = list(last)
        return f"taskset {sum(1 << core for core in last):x} "
