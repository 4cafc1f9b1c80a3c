import io

import numpy as np
import pytest

from mobile.devices import AgentError, Answer, checked

ROWS = {"models": {"a": {"times_ms": [1.0, 2.0]}}, "error": None}


def test_error_says_what_was_done_to_which_model():
    assert str(AgentError("it died", "load", "m")) == "The agent failed to load model 'm': it died"
    assert str(AgentError("no cable", "connect")) == "The agent failed to connect: no cable"


def test_what_came_before_an_error_is_known_to_be_a_part():
    whole = Answer(ROWS, {"a.npy": b""})
    error = AgentError("the connection was lost", "hear the end of the job", partial=whole)
    assert error.partial.result["error"] == "the connection was lost"
    assert error.partial.result["stage"] == "hear the end of the job"
    assert error.partial.result["models"] == ROWS["models"]
    assert error.partial.files == whole.files
    assert whole.result["error"] is None  # the answer itself is as it was
    assert AgentError("no cable", "connect").partial is None


def test_answer_with_an_error_is_raised_and_another_returned():
    answer = Answer(ROWS, {})
    assert checked(answer) is answer
    with pytest.raises(AgentError, match="no memory") as caught:
        checked(answer.with_error("no memory", "run", "a"))
    assert (caught.value.stage, caught.value.model) == ("run", "a")


def test_array_is_read_from_the_files():
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    assert Answer(ROWS, {"a.npy": buffer.getvalue()}).array("a.npy").tolist() == [0, 1, 2]
