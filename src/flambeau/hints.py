"""What other frameworks call things: for the message of an ``AttributeError``, nothing else.

There is one way to say each thing here, hence no aliases, but nobody has to search for it.
"""

from __future__ import annotations

# Functions of TensorFlow, PyTorch and NumPy that have another name, and the name at the top of the package.
FUNCTIONS = {
    "absolute": "fb.abs",
    "array": "fb.asarray",
    "as_tensor": "fb.asarray",
    "bmm": "fb.matmul",
    "cast": "fb.astype",
    "cat": "fb.concat",
    "clamp": "fb.clip",
    "concatenate": "fb.concat",
    "constant": "fb.asarray",
    "convert_to_tensor": "fb.asarray",
    "cumprod": "fb.cumulative_prod",
    "cumsum": "fb.cumulative_sum",
    "dot": "fb.vecdot or fb.matmul",
    "eq": "fb.equal",
    "from_numpy": "fb.asarray",
    "function": "fb.compile",
    "gather": "fb.take or fb.take_along_axis",
    "ge": "fb.greater_equal",
    "gt": "fb.greater",
    "index_select": "fb.take",
    "le": "fb.less_equal",
    "load": "fb.io.load_weights",
    "lt": "fb.less",
    "manual_seed": "fb.random.seed",
    "mm": "fb.matmul",
    "mul": "fb.multiply",
    "multinomial": "fb.random.categorical",
    "neg": "fb.negative",
    "norm": "fb.linalg.vector_norm",
    "permute": "fb.permute_dims",
    "power": "fb.pow",
    "rand": "fb.random.uniform",
    "randint": "fb.random.integers",
    "randn": "fb.random.normal",
    "randperm": "fb.random.permutation",
    "reduce_max": "fb.max",
    "reduce_mean": "fb.mean",
    "reduce_min": "fb.min",
    "reduce_prod": "fb.prod",
    "reduce_sum": "fb.sum",
    "save": "fb.io.save_weights",
    "scatter_add": "fb.add_along_axis",
    "sub": "fb.subtract",
    "transpose": "fb.permute_dims",
    "unbind": "fb.unstack",
    "unsqueeze": "fb.expand_dims",
}

# Methods of PyTorch's and NumPy's arrays, and what to write instead for a tensor x.
METHODS = {
    "clamp": "x.clip(...)",
    "clone": "fb.asarray(x, copy=True)",
    "copy": "fb.asarray(x, copy=True)",
    "cpu": 'x.to("cpu")',
    "cuda": 'x.to("cuda")',
    "double": "x.astype(fb.float64)",
    "float": "x.astype(fb.float32)",
    "half": "x.astype(fb.float16)",
    "int": "x.astype(fb.int32)",
    "long": "x.astype(fb.int64)",
    "mm": "x @ y",
    "numel": "x.size",
    "permute": "fb.permute_dims(x, axes)",
    "type": "x.astype(dtype)",
    "unsqueeze": "fb.expand_dims(x, axis=...)",
    "view": "x.reshape(...)",
}


def hint(table: dict[str, str], name: str) -> str:
    """What to add to the message that there is no ``name``."""
    return f": use {table[name]}" if name in table else ""
