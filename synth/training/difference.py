"""What is not the same in two documents, in words."""

from collections.abc import Mapping
from typing import Any


def first_difference(there: Any, here: Any, name: str = "") -> str:
    """The first value of a document that another one does not have, by its dotted name: "rate.peak is 1 there, not 2".

    Empty where there is none. What only the second document has is no difference.
    """
    if not (isinstance(there, Mapping) and isinstance(here, Mapping)):
        return "" if there == here else f"{name} is {there} there, not {here}"
    each = (first_difference(there[key], here.get(key), f"{name}.{key}" if name else key) for key in there)
    return next(filter(None, each), "")
