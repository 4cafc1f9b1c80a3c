"""An Android device without Python, measured by TFLite's native tool."""

import hashlib
import pathlib
import re
import shlex
import tempfile

from mobile.devices import adb, agent, benchmark_model
from mobile.devices.base import AgentError, Answer

_BLOCKS = 10  # the native tool tells means only: so many means a model


class NativeDevice:
    """A device without Python: runs `benchmark_model`, and answers as the agent does.

    It does not tell single times, nor outputs: each time is the mean of a tenth of the runs, and
    nothing says whether the answers are right. Models take turns as they do under the agent.

    Args:
        serial: As `adb devices` lists it; None for the only one.
        native: Path of the tool on this machine.
        timeout_s: How long a job may take, unless it says so itself.
    """

    def __init__(self, serial, native, timeout_s=1800):
        self.name, self.native, self.timeout_s = (
            adb.name_of(serial),
            pathlib.Path(native),
            timeout_s,
        )
        self.adb = adb.command(serial)
        if not self.native.is_file():
            raise ValueError(
                f"`benchmark_model` must be a file on this machine. Received: {str(native)!r}. "
                f"Build it from LiteRT's tflite/tools/benchmark for the device's processor."
            )

    def run(self, job, files, update=None):
        """Do a benchmark job; the same as `LocalDevice.run`.

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
            error.partial = Answer(result, {})
            raise
        return Answer(result, {})

    def _measure(self, job, files, result, tell):
        threads = job.get("threads", 1)
        folder = self._folder()
        tool = self._send(folder, self.native.read_bytes())
        self._shell(f"chmod 755 {folder}/{tool}")
        result["conditions"] = said = self._conditions(threads)
        said["runtime_version"] = f"sha256 {tool[:12]}"
        start = f"cd {folder} && " + self._pinned(said, threads) + f"./{tool} "

        def run(model, runs, profile=False):
            kernels = model.get("kernels") or job.get("kernels", "default")
            graph = self._send(folder, files[model["file"]])
            shapes = dict(zip(model.get("input_names", ()), model.get("shape", ()), strict=True))
            words = benchmark_model.arguments(
                graph, runs, job["warmups"], threads, kernels, profile, shapes
            )
            limit = (job.get("timeout_s") or 120) * (runs + job["warmups"] + 2)
            return self._tool(start + shlex.join(words), min(limit, self.timeout_s))

        names = {}
        for model in job["models"]:
            found, reason = run(model, _BLOCKS, profile=True)
            if reason:
                failure = {"name": model["name"], "stage": "run", "message": reason}
                result["failures"].append(failure)
            else:
                names[model["name"]] = model
                del found["mean_ms"]
                row = {"of": model["name"], "kernels": job.get("kernels", "default"), "outputs": {}}
                row |= {"unseen": True, "delegates": None, "times_ms": [], **found}
                result["models"][model["name"]] = row
            tell()
        if job.get("control") and names:
            control = job["control"] if job["control"] in names else next(iter(names))
            twin = f"{control} (again)"
            names[twin] = names[control]
            result["models"][twin] = {
                **result["models"][control],
                "control_of": control,
                "times_ms": [],
            }
        for turn in range(_BLOCKS):
            first = turn // 2 % len(names) if names else 0
            order = [*names][first:] + [*names][:first]
            for name in order if turn % 2 == 0 else order[::-1]:
                if name not in names:
                    continue
                found, reason = run(names[name], max(1, -(-job["runs"] // _BLOCKS)))
                if reason:
                    of = result["models"][name]["of"]
                    result["failures"].append({"name": of, "stage": "time", "message": reason})
                    for gone in [n for n, row in result["models"].items() if row["of"] == of]:
                        del names[gone], result["models"][gone]
                else:
                    result["models"][name]["times_ms"].append(found["mean_ms"])
            tell()

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
        words = agent.last_words(done.stdout.replace("INFO: ", "").encode())
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
        """Return a folder on the device for files by their fingerprints, made where missing."""
        for base in ("/data/local/tmp", "/tmp"):
            if self._shell(f"test -w {base} && mkdir -p {base}/keras-se/native").returncode == 0:
                return f"{base}/keras-se/native"
        raise AgentError(f"{self.name} must have a writable /data/local/tmp.", "connect")

    def _send(self, folder, content):
        """Put a file into the folder if it is not there; return its name."""
        name = hashlib.sha256(content).hexdigest()
        size = self._shell(f"wc -c < {folder}/{name}").stdout.strip()
        if size != str(len(content)):
            with tempfile.NamedTemporaryFile() as file:
                file.write(content)
                file.flush()
                done = adb.run([*self.adb, "push", file.name, f"{folder}/{name}"], 600)
            if done.returncode:
                said = (done.stderr or done.stdout).strip()
                raise AgentError(f"{self.name} must take files. Received: {said}.", "connect")
        return name

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
            "cpu": agent.cpu_name(self._shell("cat /proc/cpuinfo").stdout),
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
