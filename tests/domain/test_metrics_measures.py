"""What numbers are made of: shares of nothing, changes from nothing, and when one version beats another."""

from __future__ import annotations

from decimal import Decimal
from math import erf, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.domain.metrics import (
    SHAPES,
    change_of,
    compare_scripts,
    measure,
    share,
    two_proportions,
    whole_slots,
)


def test_nothing_has_no_share_and_no_change():
    assert share(0, 0) is None
    assert share(0, 4) == 0
    assert change_of(Decimal(4), Decimal(0)) is None
    assert change_of(None, Decimal(1)) is None
    assert change_of(Decimal(-1), Decimal(-2)) == 50
    for shape in SHAPES:
        assert measure(shape, [], whole_slots(shape, 3)).value in {None, 0}


@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_two_proportions_are_told_apart_as_a_textbook_does(first: int, other: int, data: st.DataObject):
    hits = data.draw(st.integers(0, first))
    others = data.draw(st.integers(0, other))
    z, chance = two_proportions((hits, first), (others, other))
    pooled = (hits + others) / (first + other)
    if pooled in {0, 1}:
        assert (z, chance) == (None, 1)
        return
    error = sqrt(pooled * (1 - pooled) / first + pooled * (1 - pooled) / other)
    wanted = (hits / first - others / other) / error
    assert z == pytest.approx(wanted)
    assert chance == pytest.approx(2 * (1 - (1 + erf(abs(wanted) / sqrt(2))) / 2), abs=1e-12)


@pytest.mark.parametrize(
    ("best", "second", "said"),
    [
        ((200, 1000), (150, 1000), "A converts better than B with 95 % confidence (z = 2.94"),
        (
            (200, 1000),
            (190, 1000),
            "Between A and B there is no difference that has 95 % confidence (z = 0.56",
        ),
        ((4, 10), (1, 10), "95 % confidence, though of few records"),
        ((0, 10), (0, 10), "A and B convert alike."),
    ],
)
def test_the_best_version_is_compared_with_the_next(
    best: tuple[int, int], second: tuple[int, int], said: str
):
    rows = [
        {"version": version, "converted": hits, "contacts": tries}
        for version, (hits, tries) in (("A", best), ("B", second))
    ]
    assert said in compare_scripts(rows)
