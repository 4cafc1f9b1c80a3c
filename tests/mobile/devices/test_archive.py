import io
import pathlib
import zipfile

from mobile.devices import agent
from mobile.devices.archive import archive


def test_archive_has_every_module_of_the_agent_and_nothing_else():
    folder = pathlib.Path(agent.__file__).parent
    modules = {f"agent/{path.name}" for path in folder.glob("*.py")}
    names = set(zipfile.ZipFile(io.BytesIO(archive())).namelist())
    assert names == {*modules, "__main__.py"}


def test_archive_is_made_once():
    assert archive() is archive()
