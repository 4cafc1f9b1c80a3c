import os

import pytest

from mobile import tflite
from mobile.tflite.artifact import Artifact
from mobile.tflite.content import content_of
from tests.mobile.craft import between_convolutions


def test_bytes_path_and_artifact_give_the_same_bytes(tmp_path):
    content = between_convolutions("ADD")
    path = tmp_path / "a.tflite"
    path.write_bytes(content)
    forms = (content, bytearray(content), memoryview(content), path, str(path))
    assert {content_of(form) for form in (*forms, Artifact.load(path))} == {content}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_is_refused_before_it_waits_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe.tflite")
    for read in (content_of, tflite.read, Artifact.load):
        with pytest.raises(ValueError, match=r"pipe\.tflite, which is a pipe.* Write the model to"):
            read(tmp_path / "pipe.tflite")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there is no /dev/zero")
def test_device_is_refused_before_it_fills_the_memory(tmp_path):
    (tmp_path / "link.tflite").symlink_to("/dev/zero")
    for path in ("/dev/zero", tmp_path / "link.tflite"):
        with pytest.raises(ValueError, match="regular file"):
            content_of(path)


def test_folder_and_absent_file_and_strange_kinds_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"which is a folder\. Name a"):
        content_of(tmp_path)
    with pytest.raises(FileNotFoundError, match="absent"):
        content_of(tmp_path / "absent")
    with pytest.raises(TypeError, match="Received: int"):
        content_of(3)
