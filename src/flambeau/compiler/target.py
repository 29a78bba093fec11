"""Targets: the instruction set that generated code is written for.

A target decides how wide vectors are and which instructions exist.  It never decides what a
kernel computes: results have the same bits on every target.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

from flambeau.dtypes import DType

# What each family of targets needs at least.  Without fused multiply-add in hardware LLVM would
# call the C library's fma, so plain x86-64 is not among them.
_X86_NEEDS = {
    "avx512": ("avx512f", "avx512bw", "avx512dq", "avx512vl", "fma", "f16c"),
    "avx2": ("avx2", "fma", "f16c"),
}


class TargetError(RuntimeError):
    """This machine lacks an instruction set that generated code needs."""


@dataclass(frozen=True, slots=True)
class Target:
    """An instruction set: LLVM's ``triple``, ``cpu`` and ``features``, and the vector width used.

    ``name`` is one of "avx512", "avx2" and "neon"; ``vector_bits`` may be less than the widest
    that ``name`` allows.

    >>> Target.avx2().lanes(32)
    8
    """

    name: str
    triple: str
    cpu: str
    features: str
    vector_bits: int

    @property
    def key(self) -> str:
        """Identifies the instruction set and the vector width, for names of cached machine code."""
        text = "\n".join((self.triple, self.cpu, self.features, str(self.vector_bits)))
        return f"{self.name}-{self.vector_bits}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def vector_registers(self) -> int:
        """How many vector registers the instruction set has."""
        return 16 if self.name == "avx2" else 32

    @property
    def has_masks(self) -> bool:
        """Whether every masked load and store is one instruction."""
        return self.name == "avx512"

    def lanes(self, bits: int) -> int:
        """How many elements of ``bits`` bits one vector register holds."""
        return max(1, self.vector_bits // bits)

    def lanes_of(self, dtype: DType) -> int:
        """How many elements of ``dtype`` (as stored in memory) one vector register holds."""
        return self.lanes(8 * dtype.itemsize)

    @staticmethod
    def avx512(vector_bits: int = 512) -> Target:
        """x86-64 with AVX-512 (F, BW, DQ, VL), as of Skylake-X and Zen 4."""
        return Target("avx512", "x86_64-unknown-linux-gnu", "x86-64-v4", "-prefer-256-bit", vector_bits)

    @staticmethod
    def avx2(vector_bits: int = 256) -> Target:
        """x86-64 with AVX2, FMA and F16C, as of Haswell and Zen."""
        return Target("avx2", "x86_64-unknown-linux-gnu", "x86-64-v3", "", vector_bits)

    @staticmethod
    def neon() -> Target:
        """AArch64 with its 128-bit Advanced SIMD unit, present on every such machine."""
        return Target("neon", "aarch64-unknown-linux-gnu", "generic", "+neon,+fp-armv8", 128)

    @staticmethod
    @cache
    def host() -> Target:
        """The machine this process runs on; raises ``TargetError`` where it lacks what is needed."""
        from llvmlite import binding as llvm

        triple = llvm.get_process_triple()
        architecture = triple.split("-", 1)[0]
        cpu = llvm.get_host_cpu_name()
        if architecture in ("aarch64", "arm64"):
            return Target("neon", triple, cpu, "+neon,+fp-armv8", 128)
        if architecture not in ("x86_64", "amd64"):
            raise TargetError(f"no code generation for {architecture}: x86-64 or AArch64 is needed")
        present = llvm.get_host_cpu_features()
        features = present.flatten()
        if all(present.get(need) for need in _X86_NEEDS["avx512"]):
            return Target("avx512", triple, cpu, features + ",-prefer-256-bit", 512)
        missing = [need for need in _X86_NEEDS["avx2"] if not present.get(need)]
        if missing:
            raise TargetError(f"this processor ({cpu}) lacks {', '.join(missing)}: generated code needs them")
        return Target("avx2", triple, cpu, features, 256)
