"""``hasten train``: train a model fast, and keep the run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

NAME = "train"
EXAMPLES = (
    "Examples: hasten train --data images:photos -o run · "
    "hasten train cnn --data fashion-mnist --target 0.93 -o run · "
    "hasten train --data table.npz --folds 5 -o run · "
    "hasten train --resume -o run"
)


def command(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="mlp, cnn, resnet, sequence, video, video3d, a .toml, package.module:factory, "
            "or a .keras or .h5 file. Default: what fits the data."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            help="digits, fashion-mnist, cifar10, images:FOLDER, videos:FOLDER, file.npz or "
            "package.module:factory.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder.")] = Path("run"),
    target: Annotated[
        float | None,
        typer.Option(help="Stop when the metric reaches this on the validation part."),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Default: the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples per step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", "--lr", help="The largest of the run.")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="cross-entropy, bce, mse, mae, huber or package.module:function."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="accuracy, top5, f1, mse, mae or package.module:function.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Stop after this: 90s, 5m, 1h.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, adam or adamw.")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="one-cycle, triangle, linear or constant.")
    ] = None,
    clip: Annotated[
        float | None, typer.Option(help="Largest length of the gradient of all weights together.")
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(help="Take every batch in so many parts: less memory, same result."),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after this many epochs without a better one.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="Cross-validate: so many models, each validated on another part."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of parts, order, weights and augmentation.")] = 0,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits each time: fp32, nothing timed.")
    ] = False,
    no_plan: Annotated[
        bool, typer.Option("--no-plan", help="Use no speed-up that must be timed first.")
    ] = False,
    remove_copies: Annotated[
        bool,
        typer.Option(
            "--remove-copies", help="Leave out training samples that stand in another part."
        ),
    ] = False,
    near_copies: Annotated[
        bool,
        typer.Option(
            "--near-copies",
            help="Look for pictures that are nearly the same in another part; --remove-copies then "
            "leaves those out too.",
        ),
    ] = False,
    keep: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Train on this share of every class, spread evenly. Default: on all.",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads. Default: all.")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda. Default: a GPU where there is one.")
    ] = None,
    speedup: Annotated[
        list[str] | None,
        typer.Option("--speedup", help="Use it, untimed: ema, or ema=decay:0.999,... Repeatable."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="Never use this speed-up. Repeatable.")
    ] = None,
    tta: Annotated[
        bool,
        typer.Option("--tta", help="Also judge the mean answer for picture and mirror image."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, if there is one.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Train a model as fast as this machine allows, and keep the run.

    First a few seconds decide what is fast here; then it trains, judging every epoch on the
    validation part. The test part is read once, at the end.
    """
    import hasten
    from hasten.cli import INTERRUPTED, _terminal, _training
    from hasten.training import choice
    from hasten.training.fit import Stopped

    with _training.Live(quiet=as_json or not sys.stderr.isatty()) as progress:
        try:
            run = hasten.train(
                recipe,
                data,
                out=out,
                target=target,
                epochs=epochs,
                batch=batch,
                learning_rate=learning_rate,
                loss=loss,
                metric=metric,
                budget=budget,
                optimizer=optimizer,
                schedule=schedule,
                clip=clip,
                accumulate=accumulate,
                patience=patience,
                folds=folds,
                seed=seed,
                deterministic=deterministic,
                plan=not no_plan,
                clean=remove_copies,
                near_copies=near_copies,
                keep=keep,
                threads=threads,
                device=device,
                speedups=choice.named(speedup) if speedup else None,
                without=without or None,
                tta=tta,
                resume=resume,
                command=_terminal.command_line(),
                progress=progress,
            )
        except Stopped as stopped:
            typer.echo(f"hasten: {stopped}", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps(run.to_json()))
    else:
        _terminal.show_run(run.record, run.epochs, out)
