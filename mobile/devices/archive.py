"""The agent in one file, for a device that does not have this package."""

import functools
import io
import pathlib
import zipapp

from mobile.devices import agent

FILE_NAME = "agent.pyz"


@functools.cache
def archive() -> bytes:
    """Return an archive that Python runs: `python agent.pyz job.json [--runtime NAME]`.

    >>> archive()[:2]
    b'PK'
    """
    folder, buffer = pathlib.Path(agent.__file__).parent, io.BytesIO()
    zipapp.create_archive(
        folder.parent,
        buffer,
        main=f"{folder.name}.__main__:start",
        filter=lambda path: path.parts[0] == folder.name and path.suffix == ".py",
        compressed=True,
    )
    return buffer.getvalue()
