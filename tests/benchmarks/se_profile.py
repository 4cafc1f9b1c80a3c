"""Whether what SE costs block by block adds up to what it costs in a whole network.

    python tests/benchmarks/se_profile.py [NETWORK ...] [--out runs/se_profile] [--kinds cse,scse]
        [--places expanded,projected,identity] [--size 224] [--runs 400] [--threads 1]
        [--check 10] [--device local] [--target xnnpack]

Each network is profiled by `mobile.profile`, and its predictions held against random
configurations timed whole. Prints each profile and writes NETWORK.json and NETWORK.png to the
folder. What is there already is not timed again, so that a run that was cut off goes on.

On a busy x86 (ten processes on two cores) SE in MobileNetV3-Small cost 1.2 to 1.3 times what its
blocks alone tell, and equal files were up to 5 % apart. A network that takes longer than the
scheduler's slice (3 ms) is interrupted there in nearly every run, its blocks are not, and
predictions are lower still. So judge additivity on a quiet machine; the note under the table says
where it was not.
"""

import argparse
import pathlib

from int8_speed import target_here

import mobile
from mobile.record import table, write_file
from mobile.reporting import profile_plots


def main():
    """Profile, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    networks = ["mobilenet_v3_small", "mobilenet_v2"]
    parser.add_argument("networks", nargs="*", default=networks, metavar="NETWORK")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/se_profile"))
    parser.add_argument("--kinds", default="cse,scse,static")
    parser.add_argument("--places", help="by default all that the network has")
    parser.add_argument("--size", type=int)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", type=int, default=10)
    parser.add_argument("--device", default="local")
    parser.add_argument("--target", default=target_here(), help="what int8 is lowered for")
    options = parser.parse_args()
    rows = []
    for name in options.networks:
        found = mobile.profile(
            name,
            kinds=options.kinds.split(","),
            places=options.places and options.places.split(","),
            size=options.size,
            target=options.target,
            device=options.device,
            check=options.check,
            path=options.out / f"{name}.json",
            runs=options.runs,
            threads=options.threads,
        )
        print(f"{found}\n", flush=True)
        write_file(options.out / f"{name}.png", profile_plots.costs(found))
        errors = sorted(abs(check.error) for check in found.checks)
        good = sum(check.good for check in found.checks)
        middle, worst = (errors[len(errors) // 2], errors[-1]) if errors else (0.0, 0.0)
        rows.append((name, f"{good} of {len(errors)}", f"{middle:.0%}", f"{worst:.0%}"))
    print(table(("network", "within 15 %", "middle error", "worst"), rows))


if __name__ == "__main__":
    main()
