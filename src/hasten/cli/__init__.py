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
        from hasten.search.store import version

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
    if app.registered_commands:
        return
    from hasten.cli import bench, compare, convert, doctor, inspect, optimize, report, train, verify

    for verb in (doctor, train, optimize, bench, compare, report, inspect, convert, verify):
        app.command(name=verb.NAME, epilog=verb.EXAMPLES)(verb.command)


def main() -> None:
    """The entry point of the ``hasten`` command."""
    _register()
    try:
        code = app(prog_name="hasten", standalone_mode=False)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except typer.Abort:
        code = 1
    except Exception as error:  # the one place where nothing may pass
        if os.environ.get("HASTEN_DEBUG"):
            raise
        code, message = _explained(error)
        if message:
            sys.stderr.write("hasten: " + " ".join(message.split()) + "\n")
    sys.exit(code)


def _explained(error: Exception) -> tuple[int, str]:
    """The exit code and the line that an error ends in."""
    if isinstance(error, HastenError):
        return 2 if isinstance(error, USER_ERRORS) else 1, str(error)
    if hasattr(error, "format_message"):  # the command line could not be read
        wrong = error.format_message().rstrip(".")
        return 2, f"{wrong}. See: hasten {_verb()}--help" if wrong else ""  # the help was shown
    if isinstance(error, OSError) and error.strerror:
        place = f" '{error.filename}'" if error.filename else ""
        return 2, f"Cannot read or write{place}: {error.strerror}. Check the path and the disk."
    return 1, (
        f"Unexpected {type(error).__name__}: {error}. This is a bug in Hasten or in a plug-in; "
        "hasten --debug ... shows where, please report it."
    )


def _verb() -> str:
    """The verb on the command line, if there is one."""
    known = {command.name for command in app.registered_commands}
    return next((f"{word} " for word in sys.argv[1:] if word in known), "")
