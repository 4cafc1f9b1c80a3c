"""What runs on every device: it loads models, runs them, times them in turn, and answers.

`mobile.devices.archive` packs this folder into one file, which needs Python 3.9, numpy and one
runtime: LiteRT (ai_edge_litert), else tflite_runtime, else tensorflow. Nothing else is imported
here, of this package neither. `job` says what can be asked.

A model can take the runtime down with it, or hang, even some time after it failed to load. So the
process that is asked (`supervisor`) does not touch models: it starts another for each step
(`worker`), watches it, and knows from the file `beat` what was being tried.
"""

import sys

if sys.version_info < (3, 9):  # noqa: UP036 - a device may have any
    sys.exit("Python must be 3.9 or newer. Received: " + sys.version.split()[0] + ". Name another.")
