"""`interp`, the command line: finds the command, and keeps the promises that all commands share.

Each command is a function `(arguments, folder of questions) -> exit code` in `command_line/`; nothing
heavy is imported before it is needed. Results go to stdout, all else to stderr. Exit codes: 0 done; 1 failed; 2 usage;
3 missing or corrupt input; 4 a check did not hold; 130 Ctrl-C. A closed pipe (`interp list | head -1`) is silent.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from analyses.command_line.environment import VARIABLES, in_force

QUESTIONS = Path(__file__).parent

COMMANDS = {
    "list": ("analyses.command_line.list:list_all", "what can be trained and asked, and on what data"),
    "run": ("analyses.command_line.run:run", "answer a question: claims as a table, the report in a folder"),
    "train": ("analyses.command_line.train:train", "train a recipe's network for many seeds at once"),
    "hooks": (
        "analyses.command_line.capture:hooks",
        "every hook point of a trained network, with axes and shape",
    ),
    "capture": ("analyses.command_line.capture:capture", "write activations to a folder"),
    "probe": ("analyses.command_line.probe:probe", "where a label can be read, with its controls"),
    "generate": ("analyses.command_line.generate:generate", "how a network goes on with a prompt"),
    "verify": (
        "analyses.command_line.run:verify",
        "run a report's analysis again and say which figures hold",
    ),
    "doctor": (
        "analyses.command_line.doctor:doctor",
        "what is installed, where data are found, what is missing",
    ),
}
EXIT_CODES = "0 done; 1 failed; 2 usage; 3 missing or corrupt input; 4 a check did not hold; 130 Ctrl-C"

Command = Callable[[Sequence[str], Path], int]


def main(argv: Sequence[str] | None = None, *, questions: Path = QUESTIONS) -> int:
    """Runs one command line and gives its exit code; `questions` is the folder of analyses."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with in_force(arguments):
            code = _dispatch(arguments, questions)
            sys.stdout.flush()
            return code
    except SystemExit as stop:  # tyro has printed its help, or what is wrong with the flags
        return stop.code if isinstance(stop.code, int) else 0
    except BrokenPipeError:
        return _silenced()
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        return _explained(error, arguments)


def _dispatch(arguments: Sequence[str], questions: Path) -> int:
    if not arguments:
        print(_help(), file=sys.stderr)
        return 2
    first, *rest = arguments
    if first in ("-h", "--help"):
        print(_help())
        return 0
    if first == "--version":
        print(f"interp {_version()}")
        return 0
    return _command(first)(rest, questions)


def _command(name: str) -> Command:
    if name not in COMMANDS:
        from interp.refusals import Refused, unknown

        if name.startswith("-"):
            raise Refused(f"The command comes first, its flags after it: interp COMMAND {name}.")
        raise unknown("command", name, COMMANDS)
    module, function = COMMANDS[name][0].split(":")
    command: Command = getattr(import_module(module), function)
    return command


def _help() -> str:
    commands = "\n".join(f"  {name:9} {about}" for name, (_, about) in COMMANDS.items())
    variables = "\n".join(f"  {name:17} {about}" for name, about in VARIABLES.items())
    return (
        "usage: interp COMMAND …    (interp COMMAND --help says more)\n\n"
        "Train small networks, look at every activation by name, and judge claims against their controls.\n\n"
        f"commands:\n{commands}\n\n"
        "flags of every command:\n"
        "  --json, --quiet/-q, --verbose/-v, --no-progress, --offline, --help/-h;   interp --version\n\n"
        f"environment:\n{variables}\n\n"
        f"exit codes:\n  {EXIT_CODES}"
    )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("interp-lab")
    except PackageNotFoundError:
        return "of unknown version: the package is not installed (pip install -e .)"


def _explained(error: Exception, arguments: Sequence[str]) -> int:
    """One line on stderr that says what went wrong, where it came from with --verbose, and the exit code."""
    if {"--verbose", "-v"} & set(arguments):
        traceback.print_exception(error)
    for name, code in (("Refused", 2), ("BadFile", 3)):
        if isinstance(error, _of_both_floors(name)):
            print(f"interp: {error}", file=sys.stderr)
            return code
    print(f"interp: {_one_line(error)}", file=sys.stderr)
    return 1


def _of_both_floors(name: str) -> tuple[type[Exception], ...]:
    """`Refused` or `BadFile`, as far as the floors can be imported: a stray models.py may stand in their way."""
    kinds: list[type[Exception]] = []
    for floor in ("interp", "models"):
        with suppress(ImportError):
            kinds.append(getattr(import_module(f"{floor}.refusals"), name))
    return tuple(kinds)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'A file'}: {error.strerror}."
    first = next(iter(str(error).splitlines()), "")
    return (
        f"{type(error).__name__}: {first} (--verbose shows where; `interp doctor` checks the installation.)"
    )


def _silenced() -> int:
    """Nobody reads stdout any more: what is left in its buffer goes nowhere, without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
