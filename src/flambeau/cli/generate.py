"""``flambeau generate``: text from weights that ``flambeau train text-generator`` has saved."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flambeau.cli.arguments import HelpFormatter, UsageError, not_negative, whole

if TYPE_CHECKING:
    from flambeau.cli.text_generator import TextModel
    from flambeau.data import CharTokenizer

_DESCRIPTION = """\
Write text with a model that 'flambeau train text-generator' has trained.

The same arguments write the same text, whatever the machine and the number of threads."""

_EPILOG = """\
examples:
  flambeau generate
  flambeau generate --prompt 'HAMLET. ' --length 400 --temperature 0.7 --seed 3"""


def add_command(commands: Any) -> None:
    """Add ``generate`` to the commands."""
    add = commands.add_parser(
        "generate",
        help="write text with a trained model",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    add.add_argument(
        "--weights",
        default="./text-generator.safetensors",
        metavar="FILE",
        help="the saved weights, a folder with such a file, or a folder of checkpoints",
    )
    add.add_argument("--prompt", default="", help="the text to go on from")
    add.add_argument("--length", type=whole(0), default=500, help="characters to write")
    add.add_argument(
        "--temperature",
        type=not_negative,
        default=0.8,
        help="below 1 likely characters become likelier; at 0 only the likeliest is taken",
    )
    add.add_argument("--seed", type=whole(0, 2**64 - 1), default=0, help="decides what is drawn")
    add.add_argument(
        "--threads",
        type=whole(1),
        default=argparse.SUPPRESS,
        help="threads to compute with (default: all processors available)",
    )
    add.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load the weights and write."""
    from flambeau.cli.sessions import use_threads
    from flambeau.cli.text_generator import generate

    use_threads(arguments)
    network, tokenizer = load(arguments.weights)
    unknown = sorted(set(arguments.prompt) - set(tokenizer.characters))
    if unknown:
        raise UsageError(f"generate: --prompt: the model does not know the character {unknown[0]!r}")
    print(
        generate(
            network, tokenizer, arguments.prompt, arguments.length, arguments.temperature, arguments.seed
        )
    )
    return 0


def load(weights: str) -> tuple[TextModel, CharTokenizer]:
    """The model in a file or folder; raises ``UsageError`` where there is none."""
    import json

    from flambeau.cli.sessions import exists
    from flambeau.cli.text_generator import TASK, restored
    from flambeau.errors import WeightsError
    from flambeau.io import Checkpoints, load_metadata, load_weights

    where = f"generate: --weights {weights!r}"
    if not exists(weights):
        raise UsageError(f"{where}: there is no such file or folder")
    path = Path(weights)
    try:
        if path.is_dir():
            found = Checkpoints(path).load_latest()
            if found is not None:
                notes = found.state.get("notes") or {}
                described = {
                    "model": notes.get("model"),
                    "hidden": notes.get("--hidden"),
                    "vocabulary": json.dumps(notes.get("vocabulary")),
                }
                return restored(str(found.path), found.weights, described)
            files = [p for p in sorted(path.glob("*.safetensors")) if _is_ours(p, TASK)]
            if len(files) != 1:
                raise UsageError(
                    f"{where}: the folder has {len(files) or 'no'} files with weights of a text generator, "
                    "and one is needed"
                )
            path = files[0]
        return restored(str(path), load_weights(path, finite=True), load_metadata(path))
    except (WeightsError, OSError) as error:
        raise UsageError(f"{where}: {error}".replace("\n  ", " ")) from None


def _is_ours(path: Path, task: str) -> bool:
    from flambeau.errors import WeightsError
    from flambeau.io import load_metadata

    try:
        return load_metadata(path).get("model") == task
    except (WeightsError, OSError):
        return False
