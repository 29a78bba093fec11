"""Callbacks, with Keras's names."""

from flambeau.training.callbacks.backup import BackupAndRestore
from flambeau.training.callbacks.callback import Callback, LambdaCallback
from flambeau.training.callbacks.csv_log import CSVLogger
from flambeau.training.callbacks.rates import LearningRateScheduler, ReduceLROnPlateau
from flambeau.training.callbacks.saving import ModelCheckpoint
from flambeau.training.callbacks.stopping import EarlyStopping, TerminateOnNaN
from flambeau.training.callbacks.tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]
