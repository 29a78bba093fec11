"""Symbolic sizes: laws of arithmetic, agreement with ints, soundness of comparisons."""

from __future__ import annotations

import math
import operator
import pickle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flambeau.errors import ShapeError
from flambeau.graph.dims import Dim, evaluate, largest, smallest

B = Dim.named("batch")
S = Dim.named("seq")
C = Dim.named("channels", min=8, max=64, multiple=8)
LAW = settings(deadline=None, max_examples=150)
NAMED = {"batch": B, "seq": S, "channels": C}

SMALL = st.integers(-9, 9)
SIZES = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 40),
        "seq": st.integers(1, 40),
        "channels": st.sampled_from(range(8, 65, 8)),
    }
)
LEAVES = st.one_of(st.sampled_from([B, S, C]), SMALL)
LINEAR = st.recursive(
    LEAVES,
    lambda inner: st.tuples(st.sampled_from("+-*"), inner, inner).map(
        lambda t: {"+": operator.add, "-": operator.sub, "*": operator.mul}[t[0]](t[1], t[2])
    ),
    max_leaves=5,
)


def _divide(t):
    function, value, divisor = t
    return function(value, divisor)


DIVISORS = st.one_of(st.integers(1, 9), st.integers(-9, -1), st.sampled_from([B, S, C, 2 * S + 1]))
DIVISIONS = st.tuples(st.sampled_from([operator.floordiv, operator.mod]), LINEAR, DIVISORS).map(_divide)
POLYNOMIALS = st.recursive(
    st.one_of(LINEAR, DIVISIONS),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda t: t[0] + t[1]),
        st.tuples(inner, inner).map(lambda t: t[0] * t[1]),
        st.tuples(st.sampled_from([operator.floordiv, operator.mod]), inner, DIVISORS).map(_divide),
    ),
    max_leaves=3,
)


@LAW
@given(POLYNOMIALS, POLYNOMIALS, POLYNOMIALS)
def test_ring_laws(a, b, c):
    assert a + b == b + a
    assert a * b == b * a
    assert (a + b) + c == a + (b + c)
    assert (a * b) * c == a * (b * c)
    assert a * (b + c) == a * b + a * c
    assert a + 0 == a and a * 1 == a and a * 0 == 0
    assert a - a == 0 and 0 - (-a) == a and a - b == a + (-b) and b - a == -(a - b)


@LAW
@given(POLYNOMIALS, POLYNOMIALS, SIZES)
def test_arithmetic_agrees_with_ints(a, b, sizes):
    x, y = evaluate(a, sizes), evaluate(b, sizes)
    assert evaluate(a + b, sizes) == x + y
    assert evaluate(a - b, sizes) == x - y
    assert evaluate(a * b, sizes) == x * y


@LAW
@given(POLYNOMIALS, DIVISORS, SIZES)
def test_division_agrees_with_ints(a, b, sizes):
    x, y = evaluate(a, sizes), evaluate(b, sizes)
    assert evaluate(a // b, sizes) == x // y
    assert evaluate(a % b, sizes) == x % y
    assert tuple(evaluate(part, sizes) for part in divmod(a, b)) == divmod(x, y)


@LAW
@given(POLYNOMIALS, DIVISORS)
def test_quotient_and_remainder_make_the_whole(a, b):
    assert b * (a // b) + a % b == a


@LAW
@given(POLYNOMIALS, LINEAR, DIVISORS)
def test_division_is_exact_where_the_divisor_divides(a, b, divisor):
    assert (b * divisor) // divisor == b
    assert (b * divisor) % divisor == 0
    assert (a + b * divisor) // divisor == a // divisor + b


@LAW
@given(LINEAR, st.integers(1, 8), st.integers(1, 8))
def test_repeated_division_is_division_by_the_product(a, m, n):
    assert a // m // n == a // (m * n)


@LAW
@given(POLYNOMIALS, POLYNOMIALS, SIZES)
def test_comparisons_hold_for_every_size(a, b, sizes):
    x, y = evaluate(a, sizes), evaluate(b, sizes)
    for compare in (operator.lt, operator.le, operator.gt, operator.ge):
        try:
            claimed = compare(a, b)
        except ShapeError:
            continue
        assert claimed is compare(x, y)
    for choose, value in ((largest, max), (smallest, min)):
        try:
            chosen = choose(a, b)
        except ShapeError:
            continue
        assert evaluate(chosen, sizes) == value(x, y)


@LAW
@given(POLYNOMIALS, SIZES)
def test_bounds_hold_for_every_size(a, sizes):
    assume(isinstance(a, Dim))
    lower, upper = a.bounds
    assert lower is None or lower <= a.evaluate(sizes)
    assert upper is None or upper >= a.evaluate(sizes)


@LAW
@given(POLYNOMIALS)
def test_text_is_an_expression_of_the_same_size(a):
    assert eval(str(a), {}, NAMED) == a


@LAW
@given(POLYNOMIALS, POLYNOMIALS)
def test_hash_and_pickle_follow_equality(a, b):
    assert type(a) is int or isinstance(a, Dim)
    again = pickle.loads(pickle.dumps(a))
    assert again == a and hash(again) == hash(a) and str(again) == str(a)
    if a == b:
        assert hash(a) == hash(b)
        assert (a - b) == 0


def test_constants_become_ints():
    for value in (B - B, B * 0, B // B, (2 * B + 1) // B - (1 // B), (4 * B) % 2, (B * S) // (S * B), C % 8):
        assert type(value) is int
    assert type(np.int64(3) - B + B) is int


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (2 * B + 1, "2*batch + 1"),
        (1 - 2 * B, "1 - 2*batch"),
        (-B, "-batch"),
        ((S + 3) // 2, "(seq + 1)//2 + 1"),
        ((S - 1) // 2, "(seq + 1)//2 - 1"),
        (S % 8, "seq % 8"),
        (3 * (S % 8) + B, "batch + 3*(seq % 8)"),
        (2 * (S // 2), "2*(seq//2)"),
        (B * S**2, "batch*seq**2"),
        (((S + 1) // 2 + 1) // 2, "(seq + 3)//4"),
        (2 * C + 8, "2*channels + 8"),
        (C // 8 * B, "batch*(channels//8)"),
        (10 // B, "10//batch"),
        (-(S // 2), "-(seq//2)"),
        (5 - S % 3, "5 - (seq % 3)"),
    ],
)
def test_text(size, expected):
    assert str(size) == expected
    assert repr(size) == expected


def test_equality_is_structural():
    assert Dim.named("batch") == B
    assert B != S
    assert B != 1 and B != 1 and B not in (0, 1, 2)
    assert (B + 1) * (B - 1) == B * B - 1
    assert {B: "b", 3: "three"}[Dim.named("batch")] == "b"
    assert Dim.named("batch", max=8) != B


def test_comparisons_that_hold_for_all_sizes():
    assert B >= 1 and not B < 1 and B > 0 and B > 0
    assert B * S >= S and S * S >= S
    assert S // 2 <= S and 2 * ((S + 1) // 2) >= S
    assert S % B >= 0 and S % 8 < 8
    assert C <= 64 and C // 8 <= 8 and C - 8 >= 0
    assert largest(1, B) == B and smallest(B, 1) == 1 and largest(0, C - 8, -3) == C - 8
    assert smallest(100, C, 200) == C


def test_undecidable_comparison_names_the_expression():
    with pytest.raises(ShapeError, match=r"whether seq - 2 >= 0 cannot be told .* \(seq >= 1\)"):
        _ = S - 2 >= 0
    with pytest.raises(ShapeError, match="whether batch <= seq cannot be told"):
        largest(B, S)
    with pytest.raises(TypeError):
        _ = B < 1.5


@pytest.mark.parametrize(
    "convert", [int, float, operator.index, math.sqrt, range, lambda d: np.zeros((d, 2))]
)
def test_a_symbolic_size_has_no_value(convert):
    with pytest.raises(ShapeError, match=r"the size 2\*batch \+ 1 is symbolic and has no value yet"):
        convert(2 * B + 1)


def test_truth_and_names():
    assert bool(B) is True and bool(B - 1) is True
    assert (S * B + S // 2).names == ("batch", "seq")
    with pytest.raises(TypeError, match=r"Dim.named"):
        Dim()


def test_evaluation_refuses_what_was_not_declared():
    with pytest.raises(ShapeError, match=r"size 'seq' of batch \+ seq has no value"):
        (B + S).evaluate({"batch": 1})
    with pytest.raises(ShapeError, match="batch = 0 is not what was declared: batch >= 1"):
        B.evaluate({"batch": 0})
    with pytest.raises(ShapeError, match=r"channels = 12 .* 8 <= channels <= 64, a multiple of 8"):
        C.evaluate({"channels": 12})
    with pytest.raises(ShapeError, match=r"the divisor batch - 1 in .* is 0"):
        (S // (B - 1)).evaluate({"batch": 1, "seq": 3})
    with pytest.raises(ZeroDivisionError, match="seq is divided by 0"):
        _ = S // 0


def test_declarations():
    with pytest.raises(ShapeError, match="'batch' is declared in two ways: batch >= 1; batch >= 2"):
        _ = B + Dim.named("batch", min=2)
    with pytest.raises(ShapeError, match="identifier, not 'two words'"):
        Dim.named("two words")
    with pytest.raises(ShapeError, match="no multiple of 8 lies between 9 and 15"):
        Dim.named("n", min=9, max=15, multiple=8)
    with pytest.raises(ShapeError, match="at least 1"):
        Dim.named("n", min=0)
    assert Dim.named("n", min=3, multiple=4).bounds == (4, None)


def test_other_operands_are_type_errors():
    for operation in (operator.add, operator.mul, operator.floordiv, operator.mod):
        with pytest.raises(TypeError):
            operation(B, 1.5)
