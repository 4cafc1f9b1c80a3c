"""The command line: each command is a thin face on one function, with the same words."""

from mobile.cli.app import main

# In the order of the help.
from mobile.cli import networks, tuning, conversion, benchmark, lint, report, run  # isort: skip

__all__ = ["benchmark", "conversion", "lint", "main", "networks", "report", "run", "tuning"]
