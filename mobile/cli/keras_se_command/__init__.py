"""What `keras-se` starts: look whether `import mobile` finds our package, then hand over to it.

Installed as keras_se_command, a package of its own. In mobile it would be hidden together with
mobile. In keras_se it would first import Keras, 5 seconds for a `--help` that takes 0.2; and
keras_se must import Keras at once, since its layers have to be registered before a model is loaded.
"""

import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Run the command line, unless something else called mobile stands before ours."""
    ours, found = _place("keras_se").with_name("mobile"), _place("mobile")
    if found != ours:
        sys.exit(
            f"keras-se: `import mobile` must find the package beside keras_se, {ours}. "
            f"Found before it on Python's path: {found}. "
            f"Rename that, or start keras-se without its folder on PYTHONPATH."
        )
    from mobile.cli.app import main as run

    run()


def _place(name: str) -> Path:
    """Find the folder of a package or the file of a module, importing neither."""
    spec = find_spec(name)
    if spec is None:
        sys.exit(
            f"keras-se: the package {name} must be installed with this command. "
            f"Found none on Python's path. Install keras-se again."
        )
    return Path([*(spec.submodule_search_locations or ()), str(spec.origin)][0]).resolve()
