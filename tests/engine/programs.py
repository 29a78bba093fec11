"""Random programs over tensors: what is written depends on the seed and on shapes, never on values."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import flambeau as fb
from flambeau.engine.tape import THREAD
from flambeau.nn import functional as F
from flambeau.primitives.contract import dot_general
from flambeau.tensor import Tensor

SIZES = (1, 1, 2, 2, 3, 4, 5, 7, 8, 13, 16, 17, 33)
FLOATS = (fb.float32, fb.float32, fb.float32, fb.float64)
MOST = 6000  # elements of one tensor

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": lambda x: -x,
    "abs": abs,
    "square": lambda x: fb.tanh(x) * x,
    "tanh": fb.tanh,
    "sigmoid": fb.sigmoid,
    "relu": fb.relu,
    "exp": lambda x: fb.exp(-abs(x)),
    "log": lambda x: fb.log(abs(x) + 0.25),
    "log1p": lambda x: fb.log1p(abs(x)),
    "expm1": lambda x: fb.expm1(fb.clip(x, -2.0, 2.0)),
    "sqrt": lambda x: fb.sqrt(abs(x) + 0.5),
    "rsqrt": lambda x: fb.rsqrt(x * x + 0.5),
    "reciprocal": lambda x: fb.reciprocal(x * x + 1.0),
    "sin": fb.sin,
    "cos": fb.cos,
    "erf": fb.erf,
    "floor": fb.floor,
    "round": fb.round,
    "sign": fb.sign,
    "power": lambda x: fb.tanh(x) ** 3,
    "scaled": lambda x: x * 0.75 + 0.125,
    "reflected": lambda x: 1.5 - x,
    "isfinite": lambda x: fb.where(fb.isfinite(x), x, 0.0),
}

BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: fb.tanh(x) * y,
    "div": lambda x, y: x / (y * y + 1.0),
    "maximum": fb.maximum,
    "minimum": fb.minimum,
    "where": lambda x, y: fb.where(x > y, x, y * 0.5),
    "pow": lambda x, y: (abs(fb.tanh(x)) + 0.5) ** fb.tanh(y),
    "where_const": lambda x, y: fb.where(y < 0.0, x, -1.0),
}

INTEGER: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "and": lambda x, y: x & y,
    "or": lambda x, y: x | y,
    "xor": lambda x, y: x ^ y,
    "maximum": fb.maximum,
    "floordiv": lambda x, y: x // (abs(y) % 5 + 1),
    "invert": lambda x, y: ~x + y,
    "where": lambda x, y: fb.where(x >= y, x, y + 1),
}

LOGIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "and": lambda x, y: x & y,
    "or": lambda x, y: x | y,
    "xor": lambda x, y: x ^ y,
    "not": lambda x, y: ~x,
    "eq": lambda x, y: x == y,
}


class Program:
    """Writes and runs one random program; ``eager`` looks at every value as soon as it is there."""

    def __init__(self, seed: int, steps: int = 18, eager: bool = False) -> None:
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.eager = eager
        self.leaves: list[Tensor] = []
        self.values: list[Tensor] = []
        self.marks: list[Tensor] = []
        self.log: list[str] = []
        self.big = self.random.random() < 0.06  # many axes
        for _ in range(self.random.randint(2, 4)):
            self.leaf(self.shape(), self.random.choice(FLOATS))
        if self.random.random() < 0.5:
            self.leaf(self.shape(), self.random.choice((fb.int64, fb.int32)))
        count = self.random.randint(3, steps)
        for _ in range(count):
            self.step()
        self.finish()

    # -- tensors ------------------------------------------------------------------------------

    def shape(self) -> tuple[int, ...]:
        r = self.random
        if self.big:
            return tuple(r.choice((1, 2, 2, 3)) for _ in range(r.randint(6, 10)))
        if r.random() < 0.03:
            return tuple(r.choice((0, 1, 3)) for _ in range(r.randint(1, 3)))
        while True:
            found = tuple(r.choice(SIZES) for _ in range(r.choice((0, 1, 1, 2, 2, 2, 3, 3, 4))))
            if math.prod(found) <= MOST:
                return found

    def array(self, shape: Sequence[int], dtype: Any) -> np.ndarray:
        if dtype.kind == "bool":
            return self.numbers.random(shape) < 0.5
        if dtype.kind == "int":
            return self.numbers.integers(-9, 10, shape).astype(dtype.numpy)
        return self.numbers.standard_normal(shape).astype(dtype.numpy)

    def leaf(self, shape: Sequence[int], dtype: Any) -> Tensor:
        made = fb.asarray(np.asarray(self.array(shape, dtype)))
        if dtype.kind == "float" and self.random.random() < 0.5:
            made.requires_grad_()
            self.marks.append(made)
        self.leaves.append(made)
        self.values.append(made)
        self.log.append(f"leaf {tuple(shape)} {dtype}")
        return made

    def keep(self, name: str, x: Tensor) -> None:
        if x.size > 4 * MOST:
            return
        self.log.append(f"{name} -> {x.shape} {x.dtype}")
        if self.eager:
            x.numpy()
        self.values.append(x)
        if self.random.random() < 0.12 and len(self.values) > 3:
            self.values.pop(self.random.randrange(len(self.values)))  # dies, unless it is a leaf

    def pick(self, kinds: str = "float", ndim: int = 0) -> Tensor | None:
        found = [x for x in self.values if x.dtype.kind in kinds.split() and x.ndim >= ndim]
        if not found:
            return None
        recent = found[-4:]
        return self.random.choice(recent if self.random.random() < 0.6 else found)

    def partner(self, x: Tensor, dtype: Any = None) -> Tensor:
        """Another operand that broadcasts with ``x``."""
        dtype = dtype or x.dtype
        found = [y for y in self.values if y.dtype is dtype and fits(x.shape, y.shape)]
        if found and self.random.random() < 0.75:
            return self.random.choice(found)
        shape = [n if self.random.random() < 0.7 else 1 for n in x.shape]
        return self.leaf(
            shape[self.random.randint(0, len(shape)) if self.random.random() < 0.3 else 0 :], dtype
        )

    def axes(self, x: Tensor) -> tuple[int, ...]:
        count = self.random.randint(1, x.ndim)
        return tuple(sorted(self.random.sample(range(x.ndim), count)))

    # -- steps --------------------------------------------------------------------------------

    def step(self) -> None:
        r = self.random
        name = r.choices(list(STEPS), [weight for _, weight in STEPS.values()])[0]
        STEPS[name][0](self)
        if r.random() < 0.05:
            x = r.choice(self.values)
            x.numpy()
            self.log.append("look")

    def unary(self) -> None:
        x = self.pick()
        if x is not None:
            name = self.random.choice(list(UNARY))
            self.keep(name, UNARY[name](x))

    def binary(self) -> None:
        x = self.pick()
        if x is not None:
            name = self.random.choice(list(BINARY))
            self.keep(name, BINARY[name](x, self.partner(x)))

    def integer(self) -> None:
        x = self.pick("int")
        if x is None:
            x = self.leaf(self.shape(), fb.int64)
        name = self.random.choice(list(INTEGER))
        self.keep(f"integer {name}", INTEGER[name](x, self.partner(x)))

    def logic(self) -> None:
        x = self.pick("float int")
        if x is None:
            return
        mask = x > self.partner(x)
        other = self.pick("bool")
        name = self.random.choice(list(LOGIC))
        if other is not None and fits(mask.shape, other.shape):
            mask = LOGIC[name](mask, other)
        self.keep(f"logic {name}", mask)

    def select(self) -> None:
        x, mask = self.pick(), self.pick("bool")
        if x is not None and mask is not None and fits(x.shape, mask.shape):
            x = fb.broadcast_to(x, np.broadcast_shapes(x.shape, mask.shape))
            self.keep("select", fb.where(mask, x, self.partner(x)))

    def convert(self) -> None:
        x = self.pick("float int bool")
        if x is None:
            return
        target = self.random.choice((fb.float32, fb.float64, fb.int32, fb.int64))
        if x.dtype.kind == "float" and target.kind == "int":
            x = fb.clip(x, -100.0, 100.0)
        self.keep("cast", x.astype(target))

    def transpose(self) -> None:
        x = self.pick("float int bool", 1)
        if x is not None:
            perm = list(range(x.ndim))
            self.random.shuffle(perm)
            self.keep(f"permute {perm}", fb.permute_dims(x, tuple(perm)))

    def reshape(self) -> None:
        x = self.pick("float int bool")
        if x is None:
            return
        shape: list[int] = []
        rest = int(x.size)
        if rest == 0:
            return
        while rest > 1 and self.random.random() < 0.8:
            divisors = [d for d in range(2, rest + 1) if rest % d == 0]
            d = self.random.choice(divisors)
            shape.append(d)
            rest //= d
            if self.random.random() < 0.15:
                shape.append(1)
        if rest > 1:
            shape.append(rest)
        self.keep(f"reshape {shape}", fb.reshape(x, tuple(shape)))

    def slice(self) -> None:
        x = self.pick("float int bool", 1)
        if x is None:
            return
        key = self.key(x)
        self.keep(f"slice {key}", x[key])

    def key(self, x: Tensor) -> tuple[Any, ...]:
        r = self.random
        key: list[Any] = []
        for n in x.shape:
            kind = r.random()
            if kind < 0.15 and n > 0:
                key.append(r.randrange(-n, n))
            elif kind < 0.6:
                a, b = sorted((r.randint(0, n), r.randint(0, n)))
                if a == b and r.random() < 0.9:
                    a, b = 0, n
                step = r.choice((1, 1, 1, 2, 3, -1, -2))
                key.append(
                    slice(a, b, step) if step > 0 else slice(b - 1 if b else None, a - 1 if a else None, step)
                )
            else:
                key.append(slice(None))
            if r.random() < 0.05:
                key.append(None)
        return tuple(key)

    def flip(self) -> None:
        x = self.pick("float int", 1)
        if x is not None:
            self.keep("flip", fb.flip(x, axis=self.axes(x)))

    def broadcast(self) -> None:
        x = self.pick("float int bool")
        if x is None:
            return
        lead = [self.random.choice((1, 2, 3)) for _ in range(self.random.randint(0, 2))]
        shape = [self.random.choice((1, 2, 5)) if n == 1 else n for n in x.shape]
        if math.prod((*lead, *shape)) <= MOST:
            self.keep("broadcast", fb.broadcast_to(x, (*lead, *shape)))

    def concat(self) -> None:
        x = self.pick("float int", 1)
        if x is None:
            return
        axis = self.random.randrange(x.ndim)
        shape = list(x.shape)
        shape[axis] = self.random.choice((1, 2, 3))
        self.keep("concat", fb.concat([x, self.leaf(shape, x.dtype), x], axis=axis))

    def pad(self) -> None:
        x = self.pick("float int", 1)
        if x is not None:
            widths = tuple((self.random.randint(0, 2), self.random.randint(0, 2)) for _ in x.shape)
            if math.prod(n + 4 for n in x.shape) < MOST:
                self.keep("pad", fb.pad(x, widths, value=1))

    def reduce(self) -> None:
        x = self.pick("float float float int", 1)
        if x is None:
            return
        axes = self.axes(x)
        keep = self.random.random() < 0.5
        names = ["sum", "sum", "mean", "prod"]
        if all(x.shape[a] for a in axes):
            names += ["max", "min"]
        name = self.random.choice(names)
        if name == "mean" and x.dtype.kind == "int":
            name = "sum"
        if name == "prod" and x.dtype.kind == "float":
            x = fb.tanh(x) + 1.0
        self.keep(f"{name} {axes} {keep}", getattr(fb, name)(x, axis=axes, keepdims=keep))

    def normalize(self) -> None:
        x = self.pick("float", 1)
        if x is None or 0 in x.shape:
            return
        axis = self.random.randrange(x.ndim)
        kind = self.random.choice(("softmax", "log_softmax", "logsumexp", "layer", "var"))
        if kind == "layer":
            centred = x - fb.mean(x, axis=axis, keepdims=True)
            y = centred * fb.rsqrt(fb.mean(centred * centred, axis=axis, keepdims=True) + 1e-5)
        elif kind == "var":
            y = fb.var(x, axis=axis, keepdims=True) + x
        else:
            y = getattr(fb, kind)(x, axis=axis)
        self.keep(kind, y)

    def truth(self) -> None:
        x = self.pick("bool", 1)
        if x is not None:
            self.keep("any", self.random.choice((fb.any, fb.all))(x, axis=self.axes(x)))

    def matmul(self) -> None:
        x = self.pick("float", 1)
        if x is None:
            return
        r = self.random
        n = r.choice(SIZES)
        k = x.shape[-1]
        if x.ndim < 2:
            y = self.leaf((k, n), x.dtype)
        else:
            lead = x.shape[:-2] if r.random() < 0.5 else ()
            y = self.leaf((*lead, n, k), x.dtype) if r.random() < 0.5 else self.leaf((*lead, k, n), x.dtype)
            if y.shape[-1] == k and y.shape[-2] == n:
                y = fb.permute_dims(y, (*range(y.ndim - 2), y.ndim - 1, y.ndim - 2))
        z = x @ y
        if r.random() < 0.5:
            z = z + self.leaf((n,), x.dtype)
        if r.random() < 0.3:
            z = fb.relu(z)
        self.keep("matmul", z)

    def contract(self) -> None:
        """A dot_general with arbitrary axes."""
        x = self.pick("float", 1)
        if x is None:
            return
        r = self.random
        order = list(range(x.ndim))
        r.shuffle(order)
        nc = r.randint(0, min(2, x.ndim))
        nb = r.randint(0, min(2, x.ndim - nc))
        cx, bx = tuple(order[:nc]), tuple(order[nc : nc + nb])
        free = [r.choice((1, 2, 3, 5)) for _ in range(r.randint(0, 2))]
        roles = (
            [("c", i) for i in range(nc)]
            + [("b", i) for i in range(nb)]
            + [("f", i) for i in range(len(free))]
        )
        r.shuffle(roles)
        sizes = {"c": [x.shape[a] for a in cx], "b": [x.shape[a] for a in bx], "f": free}
        if math.prod(x.shape) // max(1, math.prod(sizes["c"])) * math.prod(free) > MOST:
            return
        shape = [sizes[kind][i] for kind, i in roles]
        y = self.leaf(shape, x.dtype)
        cy = tuple(roles.index(("c", i)) for i in range(nc))
        by = tuple(roles.index(("b", i)) for i in range(nb))
        made = THREAD.tape.record(dot_general, ((cx, cy), (bx, by)), (x._value, y._value))
        self.keep("dot_general", Tensor(made))

    def images(self) -> Tensor | None:
        """A value as (examples, channels, one or two spatial axes)."""
        x = self.pick("float", 1)
        if x is None or x.size == 0 or x.ndim > 4:
            return None
        return x if x.ndim > 2 else fb.reshape(x, (1,) * (3 - x.ndim) + x.shape)

    def conv(self) -> None:
        x = self.images()
        if x is None:
            return
        r = self.random
        space, channels = x.shape[2:], x.shape[1]
        groups = r.choice((1, channels))
        padding = tuple(r.randint(0, 2) for _ in space)
        window = [r.randint(1, min(3, n + 2 * p)) for n, p in zip(space, padding, strict=True)]
        stride = tuple(r.choice((1, 1, 2, 3)) for _ in space)
        outs = groups * r.choice((1, 2))
        if outs * math.prod(n + 4 for n in space) * x.shape[0] > MOST:
            return
        w = self.leaf((outs, channels // groups, *window), x.dtype)
        function = F.conv1d if len(space) == 1 else F.conv2d
        y = function(x, w, None, stride, padding, 1, groups)
        if r.random() < 0.5:
            y = fb.relu(y + self.leaf((outs, *[1] * len(space)), x.dtype))
        self.keep(f"conv {window} {stride} {padding} {groups}", y)

    def pool(self) -> None:
        x = self.images()
        if x is None:
            return
        r = self.random
        space = x.shape[2:]
        window = tuple(r.randint(1, min(3, n)) for n in space)
        stride = tuple(r.choice((1, 2, 3)) for _ in space)
        padding = tuple(r.randint(0, k // 2) for k in window)
        names = ("max_pool1d", "avg_pool1d") if len(space) == 1 else ("max_pool2d", "avg_pool2d")
        name = r.choice(names)
        self.keep(f"{name} {window} {stride} {padding}", getattr(F, name)(x, window, stride, padding))

    def running(self) -> None:
        x = self.pick("float int", 1)
        if x is None or 0 in x.shape:
            return
        axis = self.random.randrange(x.ndim)
        name = self.random.choice(("cumulative_sum", "cumulative_max", "argmax", "argmin"))
        self.keep(f"{name} {axis}", getattr(fb, name)(x, axis=axis))

    def gather(self) -> None:
        x = self.pick("float int", 1)
        if x is None:
            return
        axis = self.random.randrange(x.ndim)
        n = x.shape[axis]
        if n == 0:
            return
        index = fb.asarray(self.numbers.integers(-n, n, self.random.choice(((3,), (1,), (2, 2)))))
        if index.ndim == 1:
            self.keep("take", fb.take(x, index, axis=axis))
        else:
            self.keep("index", x[(slice(None),) * axis + (index,)])

    def update(self) -> None:
        """``x[key] = v`` on a value that is no leaf requiring gradients."""
        x = self.pick("float int", 1)
        if x is None or (x.is_leaf and x.requires_grad):
            return
        key = self.key(x)
        part = x[key]
        if None in key or part.size == 0:
            return
        x[key] = part * 2 if self.random.random() < 0.5 else 3
        self.log.append(f"update {key}")
        if self.eager:
            x.numpy()

    def augment(self) -> None:
        x = self.pick("float int")
        if x is None or (x.is_leaf and x.requires_grad):
            return
        y = self.partner(x)
        if np.broadcast_shapes(x.shape, y.shape) == x.shape:
            x += y
            self.log.append("augment")
            if self.eager:
                x.numpy()

    def detach(self) -> None:
        x = self.pick()
        if x is not None:
            self.keep("detach", x.detach())

    def without_gradient(self) -> None:
        x = self.pick()
        if x is not None:
            with fb.no_grad():
                self.keep("no_grad", fb.tanh(x) * 0.5)

    # -- the end ------------------------------------------------------------------------------

    def finish(self) -> None:
        r = self.random
        parts = [x for x in self.values if x.requires_grad and x.size]
        self.loss: Tensor | None = None
        if parts and r.random() < 0.75:
            loss = None
            for x in r.sample(parts, min(len(parts), r.randint(1, 3))):
                term = fb.mean(fb.tanh(x)).astype(fb.float64)
                loss = term if loss is None else loss + term
            assert loss is not None
            if r.random() < 0.5 or self.eager:
                loss.item()
            loss.backward()
            self.loss = loss
            self.log.append("backward")

    def results(self) -> list[np.ndarray]:
        """All live values."""
        return [x.numpy() for x in self.values] + ([] if self.loss is None else [self.loss.numpy()])

    def gradients(self) -> list[np.ndarray]:
        """The gradients of the leaves that have one."""
        return [x.grad.numpy() for x in self.marks if x.grad is not None]


def fits(a: Sequence[int], b: Sequence[int]) -> bool:
    try:
        return math.prod(np.broadcast_shapes(tuple(a), tuple(b))) <= MOST
    except ValueError:
        return False


STEPS: dict[str, tuple[Callable[[Program], None], float]] = {
    "unary": (Program.unary, 5), "binary": (Program.binary, 6), "integer": (Program.integer, 2),
    "logic": (Program.logic, 1.5), "select": (Program.select, 1.5), "convert": (Program.convert, 1),
    "transpose": (Program.transpose, 1.5), "reshape": (Program.reshape, 1.5), "slice": (Program.slice, 2),
    "flip": (Program.flip, 1), "broadcast": (Program.broadcast, 1), "concat": (Program.concat, 0.6),
    "pad": (Program.pad, 0.4), "reduce": (Program.reduce, 3), "normalize": (Program.normalize, 1),
    "truth": (Program.truth, 0.5), "matmul": (Program.matmul, 1.5), "contract": (Program.contract, 1),
    "conv": (Program.conv, 0.7), "pool": (Program.pool, 0.7), "running": (Program.running, 0.5),
    "gather": (Program.gather, 1), "update": (Program.update, 1), "augment": (Program.augment, 1),
    "detach": (Program.detach, 0.4), "no_grad": (Program.without_gradient, 0.4),
}  # fmt: skip
