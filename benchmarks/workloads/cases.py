"""What is measured: the workloads, the cases each has, and the work in one step of a case."""

from __future__ import annotations

from dataclasses import dataclass

PARAMETERS = {"cnn": 1_199_882, "resnet18_cifar": 11_173_962}
TRAINED = frozenset({"mlp_small", "mlp", "cnn", "resnet18_cifar", "lstm", "gpt"})
NETWORKS = ("mlp_small", "mlp", "cnn", "resnet18_cifar", "resnet18_infer", "lstm", "gpt")
STREAMS = ("norm_softmax", "gelu", "adam_update")  # limited by memory
OPERATIONS = ("op_overhead", "op_overhead_grad", "op_single")
CHAIN = 100  # times two operations, in op_overhead
SIZES = (128, 256, 512, 1024, 2048)  # of matmul

# Bytes that one step reads and writes at least.
TRAFFIC = {"norm_softmax": 33.6e6, "gelu": 32e6, "adam_update": 280e6}


@dataclass(frozen=True)
class Convolution:
    """One pass of a convolution of stride 1 that keeps the size of its images."""

    kernel: int
    before: int
    width: int
    size: int
    batch: int
    which: str  # forward, data or weight

    @property
    def name(self) -> str:
        return f"conv_{self.kernel}_{self.before}_{self.width}_{self.size}_{self.batch}_{self.which}"

    @property
    def title(self) -> str:
        shape = f"{self.kernel}x{self.kernel}, {self.before} to {self.width}, {self.size}x{self.size}"
        return f"{shape}, batch {self.batch}, {self.which}"

    @property
    def operations(self) -> float:
        places = self.batch * self.size**2
        return 2.0 * places * self.kernel**2 * self.before * self.width


def convolution(name: str) -> Convolution:
    """The convolution that a case's name stands for."""
    _, kernel, before, width, size, batch, which = name.split("_")
    return Convolution(int(kernel), int(before), int(width), int(size), int(batch), which)


# Layers of ResNet-18 (3x3) and ResNet-50 (1x1).
_SHAPES = (
    (3, 64, 64, 56), (3, 128, 128, 28), (3, 256, 256, 14), (3, 512, 512, 7),
    (1, 64, 256, 56), (1, 512, 128, 28), (1, 256, 1024, 14), (1, 2048, 512, 7),
)  # fmt: skip
CONVOLUTIONS = tuple(
    Convolution(*shape, batch, which)
    for shape in _SHAPES
    for batch in (1, 16)
    for which in ("forward", "data", "weight")
)

# The workloads in the order of tables, and the cases of each: most are one.
WORKLOADS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in (*NETWORKS, *STREAMS, *OPERATIONS)},
    "matmul": tuple(f"matmul_{n}" for n in SIZES),
    "conv": tuple(c.name for c in CONVOLUTIONS),
}


def operations(case: str) -> float | None:
    """Floating-point operations of one step, where they are what counts."""
    if case.startswith("matmul_"):
        return 2.0 * int(case.removeprefix("matmul_")) ** 3
    return convolution(case).operations if case.startswith("conv_") else None
