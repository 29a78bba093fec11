"""Reads emitted assembly: the innermost loops of a function, and what in them should not be there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flambeau.compiler.target import Target

_MULTIPLY_ADD = re.compile(r"^(?:vfn?m(?:add|sub)|fml[as])", re.M)
_CALL = re.compile(r"^(?:callq?|blr?)\b.*", re.M)
# Floating-point arithmetic on one number at a time; spreading one over a vector is none.
_SCALAR = {
    "x86": re.compile(r"^v?(?:add|sub|mul|div|min|max|sqrt|fn?m(?:add|sub)\d*)s[sd]\b.*", re.M),
    "arm": re.compile(r"^f(?:add|sub|mul|div|min|max|sqrt|n?madd|n?msub)\w*\s+[sdh]\d.*", re.M),
}
_STACK = {"x86": r"\(%rsp\b", "arm": r"\[sp\b"}
# Where a function has a frame pointer, what lies at it is the stack too.
_FRAME = {"x86": ("%rsp, %rbp", r"\(%rbp\b"), "arm": ("x29, sp", r"\[x29\b")}


def functions(code: str) -> dict[str, str]:
    """The labels and instructions of each function, by name."""
    found = {}
    for name, body in re.findall(r"^(\w[\w.]*):[^\n]*\n(.*?)^\.Lfunc_end\d+:", code, re.S | re.M):
        lines = (re.split(r"//|# ", line)[0].strip() for line in body.splitlines())
        found[name] = "\n".join(line for line in lines if line and (line[0] != "." or line[:4] == ".LBB"))
    return found


def innermost_loops(body: str) -> Iterator[str]:
    """The instructions of each loop of a function that has no loop inside."""
    lines = body.split("\n")
    places = {line.rstrip(":"): i for i, line in enumerate(lines) if line.startswith(".LBB")}
    back = []
    for i, line in enumerate(lines):
        target = re.search(r"\.LBB\w+$", line)
        if target and places[target[0]] < i:
            back.append((places[target[0]], i))
    for first, last in back:
        if not any((a, b) != (first, last) and first <= a and b <= last for a, b in back):
            yield "\n".join(lines[first : last + 1])


def multiply_adds(loop: str) -> int:
    """How many fused multiply-adds of vectors or numbers there are."""
    return len(_MULTIPLY_ADD.findall(loop))


def hottest_loop(body: str) -> str:
    """The innermost loop with the most fused multiply-adds; empty where no loop has any."""
    found = max(innermost_loops(body), key=multiply_adds, default="")
    return found if multiply_adds(found) else ""


def spills(loop: str, body: str, target: Target) -> list[str]:
    """The instructions of a loop of a function that touch the stack."""
    family = _family(target)
    frame, at_frame = _FRAME[family]
    stack = f"{_STACK[family]}|{at_frame}" if frame in body else _STACK[family]
    return [line for line in loop.split("\n") if re.search(stack, line)]


def vectors_in(lines: list[str]) -> list[str]:
    """Those instructions that name a vector register."""
    return [line for line in lines if re.search(r"%[xyz]mm\d|\b[qv]\d", line)]


def scalar_arithmetic(loop: str, target: Target) -> list[str]:
    """The instructions of a loop that compute with one floating-point number."""
    return _SCALAR[_family(target)].findall(loop)


def calls(body: str) -> list[str]:
    """The instructions of a function that call another."""
    return _CALL.findall(body)


def _family(target: Target) -> str:
    return "arm" if target.name == "neon" else "x86"
