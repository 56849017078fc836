"""What every plug-in is, the families they belong to, and how they are found.

A plug-in is one file in its family's folder holding one class. The file name is its public name
and the folder its registration; nothing is imported until it is asked for. Packages outside
Hasten register under the entry-point group ``hasten.<family>``.

The base classes own ``__call__``: installed? fits this model? options valid? then the author's
one method, then the family's promise is checked and a ``Step`` is written to the history.
"""

from __future__ import annotations

from hasten.plugin.base import Facts, Plugin, distribution, requirement_name
from hasten.plugin.finding import (
    FAMILIES,
    Family,
    converters,
    engines,
    forms,
    frameworks,
    frontends,
    sources,
    speedups,
    targets,
    techniques,
)
from hasten.plugin.frameworks import Framework, Layer, Lesson, Net
from hasten.plugin.models import Converter, Form, Frontend, Learner, Source, Technique
from hasten.plugin.running import DataSource, Engine, Runner, Target
from hasten.plugin.training import Moment, Setup, Speedup

__all__ = [
    "FAMILIES",
    "Converter",
    "DataSource",
    "Engine",
    "Facts",
    "Family",
    "Form",
    "Framework",
    "Frontend",
    "Layer",
    "Learner",
    "Lesson",
    "Moment",
    "Net",
    "Plugin",
    "Runner",
    "Setup",
    "Source",
    "Speedup",
    "Target",
    "Technique",
    "converters",
    "distribution",
    "engines",
    "forms",
    "frameworks",
    "frontends",
    "requirement_name",
    "sources",
    "speedups",
    "targets",
    "techniques",
]
