"""Functions of functions: derivatives, batching, control flow, and programs recorded once."""

from __future__ import annotations

from flambeau.transforms.anomaly import detect_anomaly
from flambeau.transforms.check import gradcheck, gradgradcheck
from flambeau.transforms.checkpoint import checkpoint
from flambeau.transforms.compile import compile
from flambeau.transforms.control_flow import cond, scan, while_loop
from flambeau.transforms.custom import custom_function, host_call
from flambeau.transforms.digests import digests
from flambeau.transforms.explain import explain
from flambeau.transforms.forward import hessian, jacobian, jvp
from flambeau.transforms.gradient import grad, value_and_grad, vjp
from flambeau.transforms.trace import trace
from flambeau.transforms.vectorize import vmap

__all__ = [
    "checkpoint",
    "compile",
    "cond",
    "custom_function",
    "detect_anomaly",
    "digests",
    "explain",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "hessian",
    "host_call",
    "jacobian",
    "jvp",
    "scan",
    "trace",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
