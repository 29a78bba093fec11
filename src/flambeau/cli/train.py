"""``flambeau train``: what can be trained, with which arguments."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from flambeau.cli.arguments import HelpFormatter, UsageError, positive, sizes, whole

if TYPE_CHECKING:
    from flambeau.data import LabelledImages

SHIPPED = "fashion-mnist-mini"

_DESCRIPTION = """\
Train a multilayer perceptron to tell classes of small grey images apart, with Adam and a learning
rate that falls to 0; then measure its accuracy on the test images and save its weights.

The line 'test accuracy: 0.8700 (1740 of 2000)' is made for scripts.  The same arguments give the
same weights, bit for bit, whatever the machine and the number of threads."""

_EPILOG = """\
examples:
  flambeau train image-classifier
  flambeau train image-classifier --hidden 512,256 --epochs 20 --output clothes.safetensors
  flambeau train image-classifier --data /usr/share/datasets/fashion-mnist

the saved weights:
  model.load_state_dict(flambeau.io.load_weights("image-classifier.safetensors"))"""


def add_command(commands: Any) -> None:
    """Add ``train`` to the commands."""
    command = commands.add_parser(
        "train",
        help="train a model",
        description="Train a model.  'flambeau train MODEL --help' explains a model's arguments.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    models = command.add_subparsers(title="models", dest="model", metavar="MODEL", required=True)
    add_image_classifier(models)


def add_image_classifier(models: Any) -> None:
    """Add ``image-classifier`` to the models."""
    add = models.add_parser(
        "image-classifier",
        help="a small network that classifies images",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    add.add_argument(
        "--data",
        default=SHIPPED,
        help=f"{SHIPPED}, which comes with flambeau, or a folder with the four IDX files of a data set "
        "like MNIST, compressed or not",
    )
    add.add_argument("--epochs", type=whole(1), default=12, help="passes over the training images")
    add.add_argument("--batch-size", type=whole(1), default=128, help="images per step")
    add.add_argument("--lr", type=positive, default=3e-3, help="learning rate of the first step")
    add.add_argument(
        "--hidden", type=sizes, default="256", metavar="SIZE[,SIZE...]", help="width of each hidden layer"
    )
    add.add_argument(
        "--seed",
        type=whole(0, 2**64 - 1),
        default=0,
        help="decides the first weights and the order of images",
    )
    add.add_argument(
        "--threads",
        type=whole(1),
        default=argparse.SUPPRESS,
        help="threads to compute with (default: all processors available)",
    )
    add.add_argument(
        "--output", default="./image-classifier.safetensors", metavar="FILE", help="where to save the weights"
    )
    add.set_defaults(run=train_image_classifier)


def train_image_classifier(arguments: argparse.Namespace) -> int:
    """Check everything that can be checked, then train."""
    from flambeau.cli.image_classifier import Settings, train
    from flambeau.io.atomic import check_replaceable

    try:
        check_replaceable(arguments.output)
    except (OSError, ValueError) as error:
        raise UsageError(f"train image-classifier: --output {arguments.output!r}: {_reason(error)}") from None
    data = load(arguments.data)
    if "threads" in arguments:
        from flambeau.runtime.threads import set_num_threads

        set_num_threads(arguments.threads)
    settings = Settings(
        hidden=arguments.hidden,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        lr=arguments.lr,
        seed=arguments.seed,
    )
    train(arguments.data, data, settings, arguments.output)
    return 0


def load(name: str) -> LabelledImages:
    """The data set that ``--data`` names; raises ``UsageError`` where it cannot be trained with."""
    import os

    from flambeau.data import DataError, fashion_mnist_mini, load_idx_folder

    if name == SHIPPED:
        return fashion_mnist_mini()
    where = f"train image-classifier: --data {name!r}"
    if not os.path.isdir(name):
        raise UsageError(f"{where} is neither {SHIPPED} nor a folder that exists")
    try:
        data = load_idx_folder(name)
    except (DataError, OSError) as error:
        raise UsageError(f"{where}: {error}") from None
    if not data.train_images.size or not data.test_images.size:
        raise UsageError(f"{where}: there must be training images and test images, and they must have pixels")
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {str(error.filename)!r}"
    return str(error)
