"""What is said of files that an encoder refuses."""

from typing import Any

import pytest

from samplers.errors import DatasetError
from synth.backend import Backend
from synth.encoder import encoder_class


def refused(chosen: Any, url: str) -> str:
    """What is said of an encoder's file, without its URL: one line, the same before anything is opened and then."""
    said = []
    encoder = encoder_class(chosen.kind)
    for look in (lambda: encoder.preflight(chosen), lambda: encoder.open(chosen, Backend())):
        with pytest.raises(DatasetError) as caught:
            look()
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "\n" not in said[0]
    return said[0].removeprefix(url)
