"""TensorFlow without its chatter."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep TensorFlow's C++ log off the terminal, and its advice out of Python's warnings.

    The environment stays as it is. What is written to standard error meanwhile is lost; errors
    that are raised are not.
    """
    sys.stderr.flush()
    saved, logger = os.dup(2), logging.getLogger("tensorflow")
    level = logger.level
    with tempfile.TemporaryFile() as log, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(log.fileno(), 2)
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            sys.stderr.flush()
            logger.setLevel(level)
            os.dup2(saved, 2)
            os.close(saved)
