"""Products of tensors made of ``dot_general``, from ``outer`` to ``einsum``."""

from __future__ import annotations

from collections.abc import Sequence

from flambeau.errors import OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Size
from flambeau.primitives.arranging import diagonal
from flambeau.primitives.contract import dot_general
from flambeau.primitives.elementwise import conj, harmonize, harmonize_dtypes, mul, sub
from flambeau.primitives.indexing import concatenate, slice_axis
from flambeau.primitives.views import (
    broadcast_shapes,
    broadcast_to,
    expand_dims,
    normalize_axis,
    product,
    reduce_sum,
    reshape,
    shape_text,
    squeeze,
    transpose,
)


def outer(x: Var, y: Var) -> Var:
    """The products of every element of one vector with every element of another."""
    if x.ndim != 1 or y.ndim != 1:
        raise ShapeError(
            f"outer: two vectors are needed, not {shape_text(x.shape)} and {shape_text(y.shape)}"
        )
    return mul(expand_dims(x, 1), expand_dims(y, 0))


def tensordot(x: Var, y: Var, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Var:
    """The sum of products over the last axes of ``x`` and the first of ``y``, or over named pairs."""
    x, y = harmonize_dtypes("tensordot", x, y)
    if isinstance(axes, int):
        if not 0 <= axes <= min(x.ndim, y.ndim):
            raise ShapeError(
                f"tensordot: {axes} axes of shapes {shape_text(x.shape)} and {shape_text(y.shape)}"
            )
        return _paired(x, y, tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes)))
    left = tuple([normalize_axis(a, x.ndim, "tensordot") for a in axes[0]])
    right = tuple([normalize_axis(a, y.ndim, "tensordot") for a in axes[1]])
    if len(left) != len(right):
        raise ShapeError(f"tensordot: {len(left)} axes cannot be paired with {len(right)}")
    return _paired(x, y, left, right)


def _paired(x: Var, y: Var, left: tuple[int, ...], right: tuple[int, ...]) -> Var:
    for a, b in zip(left, right, strict=True):
        if x.shape[a] != y.shape[b]:
            raise ShapeError(
                f"tensordot: shapes {shape_text(x.shape)} and {shape_text(y.shape)} do not fit: axis {a} of "
                f"the first has size {x.shape[a]}, axis {b} of the second {y.shape[b]}"
            )
    return dot_general(x, y, (left, right))


def vecdot(x: Var, y: Var, axis: int = -1) -> Var:
    """The inner products of vectors along ``axis``, the first conjugated; other axes broadcast."""
    x, y = harmonize("vecdot", *_aligned("vecdot", x, y, axis))
    terms = mul(conj(x) if x.dtype.kind == "complex" else x, y)
    return reduce_sum(terms, (normalize_axis(axis, terms.ndim, "vecdot"),))


def _aligned(name: str, x: Var, y: Var, axis: int) -> tuple[Var, Var]:
    if axis >= 0 and x.ndim != y.ndim:
        raise ShapeError(
            f"{name}: axis {axis} is ambiguous for {x.ndim} and {y.ndim} axes: count it from the end"
        )
    a, b = normalize_axis(axis, x.ndim, name), normalize_axis(axis, y.ndim, name)
    if x.shape[a] != y.shape[b]:
        raise ShapeError(
            f"{name}: shapes {shape_text(x.shape)} and {shape_text(y.shape)} differ along axis {axis}"
        )
    return x, y


def cross(x: Var, y: Var, axis: int = -1) -> Var:
    """The vector products of vectors of 3 along ``axis``; other axes broadcast."""
    x, y = harmonize_dtypes("cross", x, y)
    x, y = _aligned("cross", x, y, axis)
    shape = broadcast_shapes("cross", x.shape, y.shape)
    x, y = broadcast_to(x, shape), broadcast_to(y, shape)
    at = normalize_axis(axis, x.ndim, "cross")
    if x.shape[at] != 3:
        raise ShapeError(f"cross: axis {axis} of shape {shape_text(x.shape)} must have size 3")
    a = [slice_axis(x, at, i, i + 1) for i in range(3)]
    b = [slice_axis(y, at, i, i + 1) for i in range(3)]
    parts = [sub(mul(a[i - 2], b[i - 1]), mul(a[i - 1], b[i - 2])) for i in range(3)]
    return concatenate(parts, at)


def kron(x: Var, y: Var) -> Var:
    """The Kronecker product: every element of ``x`` times all of ``y``, in blocks."""
    x, y = harmonize_dtypes("kron", x, y)
    ndim = max(x.ndim, y.ndim)
    x = reshape(x, (*(1,) * (ndim - x.ndim), *x.shape))
    y = reshape(y, (*(1,) * (ndim - y.ndim), *y.shape))
    left = reshape(x, tuple(s for n in x.shape for s in (n, 1)))
    right = reshape(y, tuple(s for n in y.shape for s in (1, n)))
    return reshape(mul(left, right), tuple(m * n for m, n in zip(x.shape, y.shape, strict=True)))


# --- einsum ----------------------------------------------------------------------------------

Labels = tuple[str, ...]


def _labels(term: str, ndim: int, subscripts: str) -> Labels:
    """One label per axis; those of an ellipsis are numbered from the right."""
    if not all(c.isalpha() for c in term.replace("...", "", 1)):
        raise OperandError(f"einsum: {term!r} in {subscripts!r} must be letters, with at most one ellipsis")
    before, dots, after = term.partition("...")
    hidden = ndim - len(before) - len(after)
    if hidden < 0 or (hidden and not dots):
        raise ShapeError(
            f"einsum: {term!r} in {subscripts!r} does not name the axes of a tensor with {ndim} axes"
        )
    return (*before, *[f".{i}" for i in range(hidden, 0, -1)], *after)


def _parse(subscripts: str, operands: Sequence[Var]) -> tuple[list[Labels], Labels]:
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise OperandError(
            f"einsum: {subscripts!r} is about {len(terms)} tensors, {len(operands)} were given"
        )
    inputs = [_labels(t, x.ndim, subscripts) for t, x in zip(terms, operands, strict=True)]
    seen = [label for labels in inputs for label in labels]
    dots = sorted({label for label in seen if label[0] == "."}, key=lambda label: -int(label[1:]))
    if not arrow:
        once = sorted(label for label in set(seen) if label[0] != "." and seen.count(label) == 1)
        return inputs, (*dots, *once)
    if not all(c.isalpha() for c in right.replace("...", "", 1)):
        raise OperandError(f"einsum: the result {right!r} of {subscripts!r} must be letters and one ellipsis")
    before, ellipsis, after = right.partition("...")
    output = (*before, *(dots if ellipsis else ()), *after)
    for label in output:
        if label not in seen or output.count(label) > 1:
            raise OperandError(f"einsum: {label!r} in the result of {subscripts!r} must name one axis")
    return inputs, output


class _Term:
    """An operand on its way: its value and the label of each axis."""

    def __init__(self, value: Var, labels: Labels) -> None:
        self.value = value
        self.labels = labels

    def sizes(self) -> dict[str, Size]:
        return dict(zip(self.labels, self.value.shape, strict=True))

    def without_repeats(self) -> _Term:
        """Where a label comes twice, the diagonal of its axes."""
        value, labels = self.value, list(self.labels)
        for label in dict.fromkeys(labels):
            while labels.count(label) > 1:
                first = labels.index(label)
                second = labels.index(label, first + 1)
                if value.shape[first] != value.shape[second]:
                    raise ShapeError(
                        f"einsum: {label!r} has sizes {value.shape[first]} and {value.shape[second]}"
                    )
                value = diagonal(value, 0, first, second)
                labels = [n for i, n in enumerate(labels) if i not in (first, second)] + [label]
        return _Term(value, tuple(labels))

    def without_ones(self, sizes: dict[str, Size]) -> _Term:
        """Without the axes of size 1 that stand for a larger size."""
        gone = [i for i, n in enumerate(self.value.shape) if n == 1 and sizes[self.labels[i]] != 1]
        kept = tuple([n for i, n in enumerate(self.labels) if i not in gone])
        return _Term(squeeze(self.value, gone), kept)

    def summed(self, keep: set[str]) -> _Term:
        """Without the axes that nothing else needs."""
        gone = [i for i, label in enumerate(self.labels) if label not in keep]
        return _Term(reduce_sum(self.value, gone), tuple([n for n in self.labels if n in keep]))


def _combine(a: _Term, b: _Term, keep: set[str]) -> _Term:
    shared = [n for n in a.labels if n in b.labels]
    batch = [n for n in shared if n in keep]
    contracted = [n for n in shared if n not in keep]
    z = dot_general(
        a.value,
        b.value,
        (tuple(a.labels.index(n) for n in contracted), tuple(b.labels.index(n) for n in contracted)),
        (tuple(a.labels.index(n) for n in batch), tuple(b.labels.index(n) for n in batch)),
    )
    free = [n for n in (*a.labels, *b.labels) if n not in shared]
    return _Term(z, (*batch, *free))


def _needed(terms: Sequence[_Term], output: Labels, *without: int) -> set[str]:
    others = [t.labels for i, t in enumerate(terms) if i not in without]
    return {n for labels in (*others, output) for n in labels}


def _growth(a: _Term, b: _Term, keep: set[str]) -> int:
    """How much larger the result is than the operands together; unknown sizes count as 64."""
    sizes = {**a.sizes(), **b.sizes()}
    known = {label: n if isinstance(n, int) else 64 for label, n in sizes.items()}
    result = product([known[n] for n in dict.fromkeys((*a.labels, *b.labels)) if n in keep])
    parts = [product([known[n] for n in t.labels]) for t in (a, b)]
    grown: int = result - parts[0] - parts[1]  # type: ignore[assignment]
    return grown


def _best_pair(terms: Sequence[_Term], output: Labels) -> tuple[int, int]:
    """The pair whose product grows least: the usual greedy order of contraction."""
    pairs = [(i, j) for j in range(len(terms)) for i in range(j)]
    return min(pairs, key=lambda p: (_growth(terms[p[0]], terms[p[1]], _needed(terms, output, *p)), p))


def _label_sizes(terms: Sequence[_Term], subscripts: str) -> dict[str, Size]:
    sizes: dict[str, Size] = {}
    for term in terms:
        for label, n in term.sizes().items():
            known = sizes.setdefault(label, n)
            if known == 1:
                sizes[label] = n
            elif n != 1 and n != known:
                raise ShapeError(f"einsum: {label!r} in {subscripts!r} has sizes {known} and {n}")
    return sizes


def einsum(subscripts: str, *operands: Var) -> Var:
    """Sums of products in Einstein's notation, as NumPy's: ``einsum("...ij,jk->...ik", x, y)``.

    Letters name axes, an ellipsis any number of them, a letter that comes twice in one operand a
    diagonal.  Operands are combined in pairs, those first whose product grows least.
    """
    values = harmonize_dtypes("einsum", *operands)
    labels, output = _parse(subscripts, values)
    terms = [_Term(x, n).without_repeats() for x, n in zip(values, labels, strict=True)]
    sizes = _label_sizes(terms, subscripts)
    terms = [t.without_ones(sizes) for t in terms]
    terms = [t.summed(_needed(terms, output, i)) for i, t in enumerate(terms)]
    while len(terms) > 1:
        i, j = _best_pair(terms, output)
        made = _combine(terms[i], terms[j], _needed(terms, output, i, j))
        terms = [t for k, t in enumerate(terms) if k not in (i, j)] + [made]
    result = terms[0]
    return transpose(result.value, [result.labels.index(n) for n in output])
