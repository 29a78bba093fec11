"""Devices: where tensors live and are computed."""

from __future__ import annotations

from flambeau.errors import DeviceError


class Device:
    """A place that holds tensors and runs programs, such as ``fb.cpu``.

    Devices compare by identity; ``str(device)`` is the name that ``fb.device`` takes.
    """

    __slots__ = ("index", "kind")

    def __init__(self, kind: str, index: int = 0) -> None:
        self.kind = kind
        self.index = index

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"

    def __reduce__(self) -> tuple[object, ...]:
        return (device, (str(self),))


cpu = Device("cpu")

_MISSING = {
    "cuda": "this version of flambeau has no executor for NVIDIA GPUs",
    "gpu": "this version of flambeau has no executor for GPUs",
    "mps": "this version of flambeau has no executor for Apple GPUs",
    "tpu": "this version of flambeau has no executor for TPUs",
}


def device(spec: str | Device) -> Device:
    """The device called ``spec``, such as ``"cpu"``.

    Raises ``DeviceError`` where that device is not available, saying what is missing.

    >>> import flambeau as fb
    >>> fb.device("cpu")
    device('cpu')
    """
    if isinstance(spec, Device):
        return spec
    if not isinstance(spec, str):
        raise DeviceError(f"a device or its name is needed, not {spec!r}; available: cpu")
    kind, _, index = spec.partition(":")
    if kind == "cpu" and index in ("", "0"):
        return cpu
    reason = _MISSING.get(kind)
    if reason is None:
        raise DeviceError(f"there is no device called {spec!r}; available: cpu")
    raise DeviceError(f"device {spec!r} is not available: {reason}; available: cpu")


def devices() -> list[Device]:
    """The devices available on this machine."""
    return [cpu]
