"""The door: a verb is run, and what goes wrong in it becomes one line."""

from __future__ import annotations

import errno
import importlib.metadata
import io
import logging
import os
import sys
import warnings
from collections.abc import Collection, Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from rsadapt.errors import InterruptedTrainingError, RsadaptError
from rsadapt.processes import started

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""

GOES_ON = {
    "train": "; the same command with --resume goes on",
    "benchmark": "; the same command goes on",
    "compare": "; the same command goes on",
    "translate": "; the same command with --resume goes on",
}
"""How to go on with a training that was stopped, by verb."""

FULL = "free space there, or choose another place"
FORBIDDEN = "change its permissions, or choose another place"

CURES = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EACCES: FORBIDDEN,
    errno.EPERM: FORBIDDEN,
    errno.EROFS: "it may only be read there; choose another place",
}
"""What to do where the system refuses a file or folder, by its reason."""

SHARED = ("train", "demo", "benchmark", "compare")
"""Verbs that several processes do together, as torchrun starts them."""

SEVERAL = ("--source", "--labels", "--target", "--scene", "--area")
"""Options that take several values at once, as a shell makes them of a glob without quotes."""


class Door(TyperGroup):
    """The verbs; what goes wrong in any of them becomes one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of a pipe has seen enough: typer leaves quietly
            raise
        except InterruptedTrainingError as stop:
            _leave(f"{stop}{GOES_ON.get(str(ctx.invoked_subcommand), '')}", stop.exit_code)
        except RsadaptError as error:
            _fail(str(error), error.exit_code)
        except NotADirectoryError as error:
            _fail(f"{error.filename}: a folder of this path is a file; choose another path", 1)
        except OSError as error:  # a full disk, a folder that may not be written to
            _fail(_told(error), 1)
        except KeyboardInterrupt:
            _fail("interrupted", INTERRUPTED)


class FileCommand(TyperCommand):
    """A verb whose file options may be followed by several files."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse `--scene a b` as `--scene a --scene b`."""
        return super().parse_args(ctx, repeat_options(args, SEVERAL))


def repeat_options(args: Sequence[str], options: Collection[str]) -> list[str]:
    """Repeat an option before every further value that follows it."""
    repeated: list[str] = []
    option, values = "", 0
    for arg in args:
        if arg.startswith("-"):
            option, values = arg, 0
        else:
            if option in options and values:
                repeated.append(option)
            values += 1
        repeated.append(arg)
    return repeated


app = typer.Typer(
    cls=Door,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help needs no rich, and takes [brackets] literally
)


def main() -> None:
    """Run the command line."""
    app(prog_name="rsadapt")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"rsadapt {importlib.metadata.version('rsadapt')}")
        raise typer.Exit


@app.callback()
def rsadapt(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Make a segmentation network that was trained where labels exist work where none do."""
    hush_libraries()
    if started().rank:  # the first of several processes speaks for all
        sys.stdout = io.StringIO()
    if started().count > 1 and ctx.invoked_subcommand not in SHARED:
        if started().rank:
            raise typer.Exit(1)
        _fail(
            f"{ctx.invoked_subcommand} runs in one process, and {started().launcher} started "
            f"{started().count}; start it alone ({', '.join(SHARED)} share their work)",
            1,
        )


def _told(error: OSError) -> str:
    """What the system would not do with a file or folder, its reason, and the cure."""
    place = error.filename2 or error.filename
    if place is None:
        return str(error)
    cure = CURES.get(error.errno or 0, "check the path, or choose another place")
    return f"{place}: cannot be made, written or read ({error.strerror}); {cure}"


def _fail(text: str, code: int) -> NoReturn:
    """Say what went wrong and leave."""
    _leave(f"error: {text}", code)


def _leave(text: str, code: int) -> NoReturn:
    """Say why on one line and leave."""
    typer.echo(" ".join(text.split()), err=True)
    raise typer.Exit(code)


def hush_libraries() -> None:
    """Keep what libraries log and warn of off the terminal, unless Python was asked for it (-W)."""
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")  # in workers started here, too
    logging.basicConfig(handlers=[logging.NullHandler()])
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", module="rsadapt")
        warnings.showwarning = lambda message, *_: typer.echo(f"Warning: {message}", err=True)
