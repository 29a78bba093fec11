"""The command line: what commands there are, and how they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from flambeau.cli import generate, info, train
from flambeau.cli.arguments import HelpFormatter, Parser, UsageError
from flambeau.errors import FlambeauError

_DESCRIPTION = """\
flambeau, a deep learning framework in pure Python.

Try it: 'flambeau train image-classifier' trains a small network on pictures of clothing that
come with the package, and 'flambeau train text-generator' on plays by Shakespeare; both take a
minute or two and no network connection."""

_EPILOG = """\
exit codes: 0 success, 1 failure, 2 arguments that cannot be worked with, 130 interrupted"""


def parser() -> Parser:
    """The parser of all commands."""
    top = Parser(prog="flambeau", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=HelpFormatter)
    top.add_argument(
        "--version", action="version", version=f"flambeau {info.version()}", help="show the version"
    )
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    info.add_command(commands)
    train.add_command(commands)
    generate.add_command(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (this process's where None is given); returns the exit code."""
    try:
        arguments = parser().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except UsageError as error:
        return _complain(error, 2)
    except (FlambeauError, MemoryError) as error:
        return _complain(error if str(error) else "there is not enough memory", 1)
    except BrokenPipeError:
        # Whoever read the output has left.  The interpreter would fail again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _complain(error, 1)
    except KeyboardInterrupt as stop:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # the terminal has just shown ^C
        return _complain(str(stop) or "interrupted", 130)


def _complain(reason: object, code: int) -> int:
    print(f"flambeau: {reason}", file=sys.stderr)
    return code
