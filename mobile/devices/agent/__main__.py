"""Do the job of a file: `python agent.pyz job.json [--runtime NAME]`; `job` says what to write."""

from __future__ import annotations

import os
import sys


def main(arguments: list[str]) -> int:
    """Do the job in a file; return the exit status."""
    from . import job as jobs
    from .json_files import read_json, write_json
    from .supervisor import Supervisor

    paths, runtime = list(arguments), None
    if "--runtime" in paths[:-1]:
        place = paths.index("--runtime")
        runtime = paths[place + 1]
        del paths[place : place + 2]
    if len(paths) != 1 or paths[0].startswith("-"):
        usage = f"usage: python agent.pyz job.json [--runtime NAME]\n\n{jobs.__doc__}"
        print(usage, file=sys.stderr)
        return 0 if paths in (["-h"], ["--help"]) else 2
    job = read_json(paths[0])
    wrong = jobs.fault_of(job)
    if wrong:
        print(f"agent: {wrong} The file is {paths[0]}.", file=sys.stderr)
        return 2
    if runtime:
        job["runtime"] = runtime
    folder = os.path.dirname(os.path.abspath(paths[0]))
    # As `python -m PACKAGE`, or as an archive.
    words = ["-m", __package__] if __name__ == "__main__" else [os.path.abspath(sys.argv[0])]

    def publish(result):
        write_json(os.path.join(folder, "result.json"), result)

    return 1 if Supervisor(job, folder, [sys.executable, *words], publish).run()["error"] else 0


def start() -> None:
    """Run what the command line says, and end this process."""
    if sys.argv[1:2] == ["work"] and len(sys.argv) == 3:
        from .worker import work  # and nothing else: a worker must start quickly

        status = work(sys.argv[2])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # a runtime that a bad model damaged may abort in its clean-up
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    start()
