"""``flambeau train``: what can be trained, with which arguments."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from flambeau.cli.arguments import HelpFormatter, UsageError, positive, sizes, whole

if TYPE_CHECKING:
    from flambeau.data import LabelledImages, TextCorpus

IMAGES = "fashion-mnist-mini"
IMAGE_SETS = (IMAGES, "fashion-mnist", "mnist", "cifar-10")
TEXT = "shakespeare-mini"
# Classes that stay what they are in a mirror; digits do not.
_MIRRORED = (IMAGES, "fashion-mnist", "cifar-10")

# What arguments of the image classifier are where they are not given.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "cnn": {"epochs": 16, "batch_size": 64, "lr": 4e-3, "hidden": (128,)},
    "mlp": {"epochs": 12, "batch_size": 128, "lr": 3e-3, "hidden": (256,)},
}

_IMAGES_DESCRIPTION = """\
Train a network to tell classes of small images apart: a convolutional one, or with --model mlp a
multilayer perceptron; then measure its accuracy on the test images and save its weights.

The line 'test accuracy: 0.8900 (1780 of 2000)' is made for scripts.  The same arguments give the
same weights, bit for bit, whatever the machine and the number of threads, and also when a training
that was interrupted or killed has gone on with --resume."""

_IMAGES_EPILOG = """\
examples:
  flambeau train image-classifier
  flambeau train image-classifier --resume
  flambeau train image-classifier --model mlp --hidden 512,256 --output clothes.safetensors
  flambeau train image-classifier --data /usr/share/datasets/fashion-mnist

the saved weights:
  model.load_state_dict(flambeau.io.load_weights("image-classifier.safetensors"))"""

_TEXT_DESCRIPTION = """\
Train a recurrent network (GRU) to write text, one character after another; measure its loss on
text that is held out, save its weights and print a sample.

The line 'held-out loss: 1.7000 nats per character' is made for scripts.  The same arguments give
the same weights, bit for bit, whatever the machine and the number of threads, and also when a
training that was interrupted or killed has gone on with --resume."""

_TEXT_EPILOG = """\
examples:
  flambeau train text-generator
  flambeau train text-generator --resume
  flambeau train text-generator --data novel.txt --epochs 10 --output novel.safetensors
  flambeau generate --weights novel.safetensors --prompt 'It was'"""


def add_command(commands: Any) -> None:
    """Add ``train`` to the commands."""
    command = commands.add_parser(
        "train",
        help="train a model",
        description="Train a model.  'flambeau train MODEL --help' explains a model's arguments.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    models = command.add_subparsers(title="models", dest="task", metavar="MODEL", required=True)
    add_image_classifier(models)
    add_text_generator(models)


def add_image_classifier(models: Any) -> None:
    """Add ``image-classifier`` to the models."""
    add = models.add_parser(
        "image-classifier",
        help="a small network that classifies images",
        description=_IMAGES_DESCRIPTION,
        epilog=_IMAGES_EPILOG,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    add.add_argument(
        "--data",
        default=IMAGES,
        help=f"{IMAGES}, which comes with flambeau; {', '.join(IMAGE_SETS[1:])}, which are looked for on "
        "this machine and else downloaded; or a folder with the four IDX files of a data set like MNIST, "
        "compressed or not",
    )
    add.add_argument("--model", choices=("cnn", "mlp"), default="cnn", help="convolutional or perceptron")
    add.add_argument(
        "--epochs",
        type=whole(1),
        default=argparse.SUPPRESS,
        help=f"passes over the images {_by_model('epochs')}",
    )
    add.add_argument(
        "--batch-size",
        type=whole(1),
        default=argparse.SUPPRESS,
        help=f"images per step {_by_model('batch_size')}",
    )
    add.add_argument(
        "--lr", type=positive, default=argparse.SUPPRESS, help=f"highest learning rate {_by_model('lr')}"
    )
    add.add_argument(
        "--hidden",
        type=sizes,
        default=argparse.SUPPRESS,
        metavar="SIZE[,SIZE...]",
        help=f"width of each hidden dense layer {_by_model('hidden')}",
    )
    _add_common(add, "image-classifier", "decides the first weights and the order of images")
    add.set_defaults(run=train_image_classifier)


def add_text_generator(models: Any) -> None:
    """Add ``text-generator`` to the models."""
    add = models.add_parser(
        "text-generator",
        help="a small network that writes text",
        description=_TEXT_DESCRIPTION,
        epilog=_TEXT_EPILOG,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    add.add_argument(
        "--data",
        default=TEXT,
        help=f"{TEXT}, which comes with flambeau, or a text file in UTF-8, whose last tenth is held out",
    )
    add.add_argument("--epochs", type=whole(1), default=3, help="passes over the text")
    add.add_argument("--batch-size", type=whole(1), default=32, help="windows of text per step")
    add.add_argument("--length", type=whole(1), default=64, help="characters in a window")
    add.add_argument("--lr", type=positive, default=3e-3, help="learning rate of the first step")
    add.add_argument("--hidden", type=whole(1), default=128, help="units of the recurrent layer")
    add.add_argument("--sample", type=whole(0), default=400, help="characters to write at the end")
    _add_common(add, "text-generator", "decides the first weights and the order of the text")
    add.set_defaults(run=train_text_generator)


def _by_model(name: str) -> str:
    shown = {model: values[name] for model, values in _DEFAULTS.items()}
    cnn, mlp = [",".join(map(str, v)) if isinstance(v, tuple) else v for v in shown.values()]
    return f"(default: {cnn}; mlp: {mlp})"


def _add_common(add: Any, task: str, seed: str) -> None:
    add.add_argument("--seed", type=whole(0, 2**64 - 1), default=0, help=seed)
    add.add_argument(
        "--threads",
        type=whole(1),
        default=argparse.SUPPRESS,
        help="threads to compute with (default: all processors available)",
    )
    add.add_argument(
        "--output", default=f"./{task}.safetensors", metavar="FILE", help="where to save the weights"
    )
    add.add_argument(
        "--resume",
        action="store_true",
        help="go on with a training that was interrupted, from the newest checkpoint beside the weights",
    )


def train_image_classifier(arguments: argparse.Namespace) -> int:
    """Check everything that can be checked, then train."""
    from flambeau.cli import image_classifier
    from flambeau.cli.sessions import check_output, use_threads

    check_output(image_classifier.TASK, arguments.output)
    data = load_images(arguments.data)
    use_threads(arguments)
    given = _DEFAULTS[arguments.model] | vars(arguments)
    settings = image_classifier.Settings(
        model=arguments.model,
        hidden=given["hidden"],
        epochs=given["epochs"],
        batch_size=given["batch_size"],
        lr=given["lr"],
        seed=arguments.seed,
        flip=arguments.data in _MIRRORED and arguments.model == "cnn",
    )
    image_classifier.train(arguments.data, data, settings, arguments.output, arguments.resume)
    return 0


def train_text_generator(arguments: argparse.Namespace) -> int:
    """Check everything that can be checked, then train."""
    from flambeau.cli import text_generator
    from flambeau.cli.sessions import check_output, use_threads

    check_output(text_generator.TASK, arguments.output)
    text = load_text(arguments.data)
    use_threads(arguments)
    settings = text_generator.Settings(
        hidden=arguments.hidden,
        length=arguments.length,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        lr=arguments.lr,
        seed=arguments.seed,
    )
    text_generator.train(arguments.data, text, settings, arguments.output, arguments.sample, arguments.resume)
    return 0


def load_images(name: str) -> LabelledImages:
    """The data set that ``--data`` names; raises ``UsageError`` where it cannot be trained with."""
    from flambeau.data import DataError, load, load_idx_folder

    where = f"train image-classifier: --data {name!r}"
    if name not in IMAGE_SETS and not _is(os.path.isdir, name):
        raise UsageError(f"{where} is neither one of {', '.join(IMAGE_SETS)} nor a folder that exists")
    try:
        data: Any = load(name) if name in IMAGE_SETS else load_idx_folder(name)
    except (DataError, OSError) as error:
        raise UsageError(f"{where}: {error}") from None
    if not data.train_images.size or not data.test_images.size:
        raise UsageError(f"{where}: there must be training images and test images, and they must have pixels")
    found: LabelledImages = data
    return found


def load_text(name: str) -> TextCorpus:
    """The text that ``--data`` names; raises ``UsageError`` where it cannot be trained with."""
    from flambeau.data import DataError, TextCorpus, shakespeare_mini

    where = f"train text-generator: --data {name!r}"
    if name != TEXT and not _is(os.path.isfile, name):
        raise UsageError(f"{where} is neither {TEXT} nor a file that exists")
    try:
        if name == TEXT:
            return shakespeare_mini()
        with open(name, encoding="utf-8") as file:
            text = file.read()
    except (DataError, OSError) as error:
        raise UsageError(f"{where}: {error}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: the file is no text in UTF-8: byte {error.start} does not fit") from None
    held_out = len(text) // 10
    if not held_out:
        raise UsageError(f"{where}: {len(text)} characters are too few to learn from")
    return TextCorpus(text[:-held_out], text[-held_out:], (os.path.basename(name),))


def _is(test: Any, name: str) -> bool:
    try:
        return bool(test(name))
    except ValueError:
        return False
