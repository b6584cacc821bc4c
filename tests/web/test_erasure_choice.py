"""What is ticked on the page of an erasure is what is ordered, and of nothing else anything is said."""

from __future__ import annotations

import pytest

from syncline.web.erasure import read_choice
from syncline.web.forms import Form

BOTH = ["acme", "second"]


@pytest.mark.parametrize(
    ("offered", "ticked", "connections"),
    [
        (BOTH, BOTH, None),
        ([], [], None),
        (BOTH, ["acme"], ["acme"]),
        (BOTH, [], []),
    ],
)
def test_crms_that_were_not_shown_are_neither_asked_nor_left_out(
    offered: list[str], ticked: list[str], connections: list[str] | None
) -> None:
    form = Form({"confirm": "ann@example.com"}, {"offered": offered, "there": ticked})
    wanted = read_choice(form, "ann@example.com")
    assert wanted.connections == connections
    assert wanted.offered == (None if connections is None else offered)
    assert not wanted.only_here
