"""Options that say how a model of another framework is read, the same for every verb."""

from __future__ import annotations

from typing import Annotated

import typer

Reference = Annotated[
    str | None, typer.Option(help="An .npz of inputs and the outputs that belong to them.")
]
Interpreter = Annotated[
    str | None, typer.Option(help="The interpreter that has the model's old framework.")
]
