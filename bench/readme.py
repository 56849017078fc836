"""Writes what the READMEs show: the tables between their markers, and the main picture.

    python -m bench.readme            after a demo, a race, or bench.download_sizes
    python -m bench.readme --check    says whether the READMEs are as the records are

Figures come from records only: ``demo/fast.hasten`` (kept, without its raw rounds, as
``bench/results/demo.json``, its picture as ``docs/images/tradeoff.svg``), the races'
results in ``bench/results/inference`` and ``bench/results/training``, and
``bench/results/download_sizes.json``.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import inference, table, verdict
from bench.contenders import OURS
from bench.download_sizes import CUDA
from bench.download_sizes import RESULT as SIZES
from bench.train import RESULTS as TRAINING
from bench.training import rows, standing
from hasten.manifest import read_manifest
from hasten.report import units
from hasten.report.record import Record
from hasten.types import Ratio, Trial

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "demo" / "fast.hasten"
DEMO = ROOT / "bench" / "results" / "demo.json"
PICTURE = ROOT / "docs" / "images" / "tradeoff.svg"
RAW = ("rounds", "kernels", "layers", "history", "facts")
"""What the kept record of the demo leaves out of every trial."""
VAGUE = 2.0
"""From this factor between its ends on, an interval's estimate says little."""

Words = Mapping[str, str]
ENGLISH: Words = {
    "candidate": "candidate",
    "time": "time per call",
    "ratio": "times as fast (95 % interval)",
    "at least": "at least {low}",
    "lost": "{metric} lost",
    "judged": "on samples",
    "verdict": "verdict",
    "reference": "*your model as it runs now:*",
    "baseline": "*fastest with equal outputs:*",
    "winner": "**winner:**",
    "demo": "`{command}` on {cpu} ({cores} cores), {date}, {versions}. {sentence}",
    "won": "The winner is {ratio} times as fast as the model as it ran before "
    "(95 % interval {low} to {high}).",
    "kept": "The original was kept.",
    "no demo": "No demo has been recorded yet.",
    "no race": "The race has not been run yet: `make bench-inference` fills this table.",
    "race": "Against the fastest other contender within the same limit, over {rows} rows: "
    "**{win} wins, {level} level, {loss} losses, {undecided} undecided; geometric mean "
    "{geometric_mean:.3f}** (above 1: Hasten is faster). Every contender, every time and the "
    "rules: [bench/results/inference.md](bench/results/inference.md).",
    "missing": " Rows not run yet: {names}.",
    "model": "model",
    "batch": "batch",
    "ours": "Hasten, ms",
    "other": "best other",
    "their": "ms",
    "duel": "ratio (95 % interval)",
    "no training": "The training race has not been run yet: `make bench-train` fills this table.",
    "training": "Time from raw arrays to a test accuracy that was fixed before, planning and "
    "compiling included, mean over the runs so far. All train the same network on the same "
    'samples; only "Hasten" has one more layer, a whitening whose filters are not learned, and '
    '"Hasten, same network" goes without it. Numbers of epochs were fixed on other seeds. '
    "Every seed and the rules: [bench/results/training.md](bench/results/training.md).",
    "trained": "task",
    "contender": "contender",
    "accuracy": "test accuracy (runs)",
    "short": ", below the target",
    "epochs": "epochs",
    "seconds": "time",
    "times": "against Hasten (95 % interval)",
    "what": "what",
    "size": "download",
    "core": "`pip install hasten`: the package, no runtime",
    "onnx": "`pip install 'hasten[openvino,onnxruntime]'`: ONNX files, without PyTorch",
    "torch": "PyTorch 2.13.0 for the CPU",
    "demo size": "everything that `make demo` installs",
    "test size": "everything that `make test` installs",
    "torch-cuda": "PyTorch 2.13.0 as pip gives it on Linux: the build with CUDA",
    "weighed": "Weighed with pip {pip} on {system}, Python {python} (`python -m "
    "bench.download_sizes --cuda`).",
}
CHINESE: Words = {
    "candidate": "候选方案",
    "time": "单次调用耗时",
    "ratio": "加速倍数（95 % 区间）",
    "at least": "至少 {low}",
    "lost": "准确率损失",
    "judged": "样本数",
    "selection": "选择集",
    "test": "测试集",
    "verdict": "精度结论",
    "reference": "*模型现在的运行方式：*",
    "baseline": "*输出等价的最快方案：*",
    "winner": "**胜出：**",
    "demo": "`{command}`，{cpu}（{cores} 核），{date}，{versions}。{sentence}",
    "won": "胜出方案的速度是原来的 {ratio} 倍（95 % 区间 {low} 至 {high}）。",
    "kept": "保留了原模型。",
    "no demo": "尚未记录演示结果。",
    "no race": "对比赛尚未运行：`make bench-inference` 会填写此表。",
    "race": "与同一精度限制内最快的其他方案相比，共 {rows} 行：**{win} 胜、{level} 平、{loss} 负、"
    "{undecided} 未定；几何平均 {geometric_mean:.3f}**（大于 1 表示 Hasten 更快）。全部参赛者、"
    "全部耗时与规则见 [bench/results/inference.md](bench/results/inference.md)。",
    "missing": "尚未运行的行：{names}。",
    "model": "模型",
    "batch": "批大小",
    "ours": "Hasten，毫秒",
    "other": "最快的其他方案",
    "their": "毫秒",
    "duel": "倍数（95 % 区间）",
    "no training": "训练对比赛尚未运行：`make bench-train` 会填写此表。",
    "training": "从原始数组到事先固定的测试准确率所需的时间，含规划与编译，为迄今各次运行的平均。"
    "所有参赛者在相同样本上训练相同网络；仅“Hasten”多一个滤波器不参与学习的白化层，"
    "“Hasten, same network”没有这一层。各自的轮数在其他种子上确定。"
    "每个种子的结果与规则见 "
    "[bench/results/training.md](bench/results/training.md)。",
    "trained": "任务",
    "contender": "参赛者",
    "accuracy": "测试准确率（运行次数）",
    "short": "，未达目标",
    "epochs": "轮数",
    "seconds": "耗时",
    "times": "相对 Hasten（95 % 区间）",
    "what": "内容",
    "size": "下载量",
    "core": "`pip install hasten`：仅本包，不含推理引擎",
    "onnx": "`pip install 'hasten[openvino,onnxruntime]'`：处理 ONNX 文件，不需要 PyTorch",
    "torch": "CPU 版 PyTorch 2.13.0",
    "demo size": "`make demo` 安装的全部内容",
    "test size": "`make test` 安装的全部内容",
    "torch-cuda": "pip 在 Linux 上默认安装的 PyTorch 2.13.0：CUDA 版",
    "weighed": "用 pip {pip} 在 {system}、Python {python} 上称量（`python -m "
    "bench.download_sizes --cuda`）。",
    "equivalent": "等价",
    "proven": "已证明",
    "unproven": "未证明",
    "broken": "超出限制",
    "win": "胜",
    "level": "平",
    "loss": "负",
    "undecided": "未定",
}
READMES: Mapping[str, Words] = {"README.md": ENGLISH, "README.zh-CN.md": CHINESE}
PAGES: Mapping[str, Words] = {**READMES, "docs/install.md": ENGLISH}
"""Everything with blocks to fill."""


# --- the records --------------------------------------------------------------------------------


def keep_demo(bundle: Path = BUNDLE) -> None:
    """Keep the demo's evidence without its raw rounds, and its picture."""
    evidence = read_manifest(bundle)["evidence"]
    for trial in evidence["trials"]:
        trial |= {key: type(trial[key])() for key in RAW}
    evidence["final"]["rounds"] = {}
    evidence["per_class"] = None
    DEMO.parent.mkdir(parents=True, exist_ok=True)
    DEMO.write_text(json.dumps(evidence, indent=1, sort_keys=True) + "\n")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(bundle / "tradeoff.svg", PICTURE)


# --- the blocks ---------------------------------------------------------------------------------


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def demo(words: Words) -> str:
    """What the last recorded demo found: every candidate that was raced or broke the limit."""
    if not DEMO.exists():
        return words["no demo"]
    record = Record(json.loads(DEMO.read_text()))
    head = ("candidate", "time", "ratio", "lost", "judged", "verdict")
    shown = [t for t in record.trials if record.ratio(t) or t is record.reference]
    shown += [t for t in record.trials if t.status == "broken" and t not in shown]
    rows = [_candidate(record, trial, words) for trial in shown]
    table_ = grid([words[name].format(metric=record.metric.title) for name in head], rows)
    return f"{_caption(record, words)}\n\n{table_}"


def _candidate(record: Record, trial: Trial, words: Words) -> list[str]:
    raced = record.ratio(trial) is not None or trial is record.reference
    role = "reference" if trial is record.reference else ""
    role = role or ("baseline" if trial is record.baseline else "")
    role = "winner" if trial is record.winner and trial is not record.reference else role
    ratio = record.ratio(trial)
    return [
        f"{words[role]} {trial.plan.name}" if role else trial.plan.name,
        record.quantity.text(record.quantity.of(trial)) if raced else "–",
        _faster(ratio, words) if ratio else "1" if raced else "–",
        *_quality(record, trial, words),
    ]


def _faster(ratio: Ratio, words: Words) -> str:
    """The ratio with its interval; of a vague one only what was proven."""
    if ratio.high > VAGUE * ratio.low:
        return words["at least"].format(low=units.times(ratio.low))
    return f"{units.times(ratio.value)} ({units.interval(ratio)})"


def _quality(record: Record, trial: Trial, words: Words) -> list[str]:
    """What was lost, on which samples, and the verdict."""
    said, score = record.verdict(trial), record.score(trial)
    if score is None:
        return ["–", "–", words.get(said, said) if said == "equivalent" else "–"]
    lost = record.metric.value(score.value)
    if score.drop is not None:
        lost = record.metric.loss(score.drop)
    return [lost, f"{score.n:,} ({words.get(score.split, score.split)})", words.get(said, said)]


def _caption(record: Record, words: Words) -> str:
    machine, ratio = record.raw["machine"], record.final_ratio()
    sentence = words["kept"]
    if ratio and not record.kept_original:
        figures = {"ratio": ratio.value, "low": ratio.low, "high": ratio.high}
        sentence = words["won"].format(**{key: f"{v:.2f}" for key, v in figures.items()})
    named = ("torch", "openvino", "onnxruntime")
    versions = [f"{n} {machine['versions'][n]}" for n in named if n in machine["versions"]]
    return words["demo"].format(
        command=record.raw["command"],
        cpu=machine["target"].get("name", "?"),
        cores=machine["target"].get("cores", "?"),
        date=record.raw["created"][:10],
        versions=", ".join(versions),
        sentence=sentence,
    )


def race(words: Words) -> str:
    """The race against peers: the counts, and every row's verdict."""
    results, missing = inference.recorded()
    if not results:
        return words["no race"]
    told = words["race"].format(**verdict.summary(results))
    if missing:
        told += words["missing"].format(names=", ".join(missing))
    head = ("model", "batch", "ours", "other", "their", "duel", "verdict")
    rows = [_duel(result, words) for result in results]
    return f"{told}\n\n{grid([words[name] for name in head], rows)}"


def _duel(result: Mapping[str, Any], words: Words) -> list[str]:
    entries, best = result["contenders"], result["selection"]["best"]
    other = entries.get(best, {})
    return [
        result["title"],
        str(result["batch"]),
        table.milliseconds(entries[OURS].get("seconds_per_call")),
        other.get("title", "–"),
        table.milliseconds(other.get("seconds_per_call")),
        table.ratio_text(result["comparison"]["ratio"]),
        words.get(result["verdict"], result["verdict"]),
    ]


def training(words: Words) -> str:
    """The training race: what every contender took to the target."""
    found = [line for row in rows.ROWS.values() for line in standing.lines(TRAINING, row)]
    if not found:
        return words["no training"]
    head = ("trained", "contender", "accuracy", "epochs", "seconds", "times")
    cells = [
        [
            f"{line.row.title}, {100 * line.row.target:.1f} %",
            line.contender.title,
            line.mean + (f" ({len(line.runs)})" if line.counts else "") + short(line, words),
            line.epochs or "–",
            line.seconds("seconds") or "–",
            line.times or "1",
        ]
        for line in found
    ]
    return f"{words['training']}\n\n{grid([words[name] for name in head], cells)}"


def short(line: standing.Line, words: Words) -> str:
    """What is said of a mean that does not reach the target."""
    return words["short"] if line.counts and not line.reached else ""


def downloads(words: Words) -> str:
    """What has to be downloaded for each kind of installation."""
    record = json.loads(SIZES.read_text())
    names = {"core": "core", "onnx": "onnx", "torch": "torch", "demo": "demo size"}
    names |= {"test": "test size", CUDA: CUDA}
    rows = [
        [words[title], f"{record['sets'][name]['bytes'] / 1e6:,.0f} MB"]
        for name, title in names.items()
        if name in record["sets"]
    ]
    table_ = grid([words["what"], words["size"]], rows)
    return f"{table_}\n\n{words['weighed'].format(**record)}"


BLOCKS: Mapping[str, Callable[[Words], str]] = {
    "demo": demo,
    "race": race,
    "training": training,
    "downloads": downloads,
}


# --- the READMEs --------------------------------------------------------------------------------


def filled(text: str, words: Words) -> str:
    """``text`` with every block between ``<!-- begin:name -->`` and its end written anew."""
    for name, block in BLOCKS.items():
        begin, end = f"<!-- begin:{name} -->", f"<!-- end:{name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        made = f"{begin}\n{block(words)}\n{end}"
        text = pattern.sub(made.replace("\\", r"\\"), text)
    return text


def outdated(root: Path = ROOT) -> list[str]:
    """The READMEs that do not show what the records say."""
    return [
        name
        for name, words in PAGES.items()
        if (text := (root / name).read_text()) != filled(text, words)
    ]


def main() -> None:
    """Fill the READMEs, or say which are outdated."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if outdated")
    if parser.parse_args().check:
        if found := outdated():
            sys.exit(f"outdated: {', '.join(found)}. Run: python -m bench.readme")
        return
    if BUNDLE.exists():
        keep_demo()
    for name, words in PAGES.items():
        path = ROOT / name
        path.write_text(filled(path.read_text(), words))
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
