"""On PYTHONPATH every Python process has a domain whose `decide` and `react` never end on some texts, with the interpreter's lock or without."""

import re
from collections.abc import Callable
from typing import Any

from refold.retail.reactors import REACTORS
from refold.retail.streams import DECIDERS


def loops() -> None:
    while True:
        pass


def backtracks() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


ENDLESS = {"decide-loops": loops, "decide-backtracks": backtracks, "react-loops": loops}


def endless(of: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which never ends for some texts."""

    def never_ends(*arguments: Any) -> Any:
        text = getattr(arguments[0], "household_id", None) or ""
        if text.startswith(of):
            ENDLESS[text]()
        return function(*arguments)

    return never_ends


BASKETS, POINTS = DECIDERS[0], REACTORS[0]
object.__setattr__(BASKETS, "decide", endless("decide", BASKETS.decide))
object.__setattr__(BASKETS, "ask", endless("decide", BASKETS.ask))  # which the handler calls
object.__setattr__(POINTS, "react", endless("react", POINTS.react))
