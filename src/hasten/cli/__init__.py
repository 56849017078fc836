"""The command line: one file per verb, each parses, calls, and prints. No logic.

Exit codes: 0 a result ("original kept" included), 2 bad input (one line says what to do),
130 interrupted.
"""

from __future__ import annotations

import os
import sys

import typer

from hasten.errors import USER_ERRORS, HastenError

INTERRUPTED = 130

app = typer.Typer(
    name="hasten",
    help="Make a deep-learning model as fast as the hardware allows, and prove it still works.",
    epilog="Start with: hasten doctor · hasten optimize model.onnx -o fast.hasten",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from hasten.bundle import version

        typer.echo(f"hasten {version()}")
        raise typer.Exit


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Options of every verb."""
    if debug:
        os.environ["HASTEN_DEBUG"] = "1"


def _register() -> None:
    from hasten.cli import bench, doctor, inspect, optimize, report, verify

    for verb in (doctor, optimize, bench, report, inspect, verify):
        app.command(name=verb.NAME, epilog=verb.EXAMPLES)(verb.command)


def main() -> None:
    """The entry point of the ``hasten`` command."""
    _register()
    try:
        app()
    except USER_ERRORS as error:
        _fail(str(error), 2)
    except HastenError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted.", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def _fail(message: str, code: int) -> None:
    """One line on standard error, and the exit code; the traceback only with --debug."""
    if os.environ.get("HASTEN_DEBUG"):
        raise  # called from an except block
    sys.stderr.write("hasten: " + " ".join(message.split()) + "\n")
    sys.exit(code)
