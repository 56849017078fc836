"""Every error a user can meet.

    HastenError                 the root: catch this to catch all of ours
    ├── BadInput                what the user gave cannot be used (CLI exit code 2)
    │   ├── UnknownName         a plug-in, option, metric or data set that does not exist
    │   ├── BadModel            a model file or module that cannot be read or run
    │   ├── BadData             arrays, labels or folders that do not fit
    │   └── Untrusted           it holds code, and --trust was not given
    ├── NotInstalled            a package is missing; the message carries the command (exit code 2)
    ├── Unsupported             this model with this plug-in on this machine does not work
    ├── NumericMismatch         a conversion changed what the model computes
    ├── CandidateFailed         one candidate crashed, hung or ran out of memory
    ├── BrokenBundle            a bundle's files do not match its manifest (exit code 2)
    ├── OutOfSpace              the disk is full; nothing older was touched (exit code 2)
    └── BrokenContract          a plug-in broke its family's promise: a bug to report

Every message says what was asked (with the value), why not, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HastenError(Exception):
    """The root of all errors raised by Hasten."""


class BadInput(HastenError):
    """What the user gave cannot be used."""


class UnknownName(BadInput):
    """A name that is not among the known ones."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str]) -> UnknownName:
        """The standard text: the value, the nearest known name, and all known names."""
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        guess = f" Did you mean '{near[0]}'?" if near else ""
        return cls(f"Unknown {kind} '{name}'.{guess} Known: {', '.join(names) or 'none'}.")


class BadModel(BadInput):
    """A model that cannot be read or run."""


class BadData(BadInput):
    """Data that do not fit the model or the task."""


class Untrusted(BadInput):
    """A file that may run code when it is read, given without trust."""


class NotInstalled(HastenError):
    """A package that the request needs is not installed."""

    @classmethod
    def extra(cls, asked: str, package: str, extra: str) -> NotInstalled:
        """The standard text for a plug-in whose package is missing."""
        return cls(
            f"Cannot use {asked}: {package} is not installed. "
            f"Install it: pip install 'hasten[{extra}]'."
        )


class Unsupported(HastenError):
    """A combination of model, plug-in and machine that does not work."""


class NumericMismatch(HastenError):
    """A conversion whose outputs differ from those of its source."""


class CandidateFailed(HastenError):
    """One candidate's child process failed; the search goes on without it."""


class BrokenBundle(HastenError):
    """A bundle that is incomplete, altered, or of an unknown version."""


class OutOfSpace(HastenError):
    """The disk is full. What was complete before is untouched."""


class BrokenContract(HastenError):
    """A plug-in that did not keep its family's promise."""


#: Errors that mean "you can mend this": the command line prints one line and exits with 2.
USER_ERRORS = (BadInput, NotInstalled, BrokenBundle, OutOfSpace, Unsupported, NumericMismatch)
