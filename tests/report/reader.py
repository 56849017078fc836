"""Reads a page as a browser does: its tags, its text, and how wide it is."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Reader(HTMLParser):
    """Checks nesting; collects tags, attributes and the text a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.seen: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        opened = self.open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.seen.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.seen).split())


PROBE = """<!doctype html><iframe id=f src="page.html" style="width:390px;height:800px;border:0">
</iframe><script>onload=()=>{const r=document.getElementById("f").contentDocument.documentElement;
document.title=`width ${r.scrollWidth}`}</script>"""


def width_on_a_phone(page: str, tmp_path: Path) -> int:
    """The width of a page in a window of 390 pixels."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("needs Chromium to lay the page out")
    (tmp_path / "page.html").write_text(page, "utf-8")
    (tmp_path / "probe.html").write_text(PROBE, "utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update"]
    flags += ["--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [browser, *flags, "--dump-dom", f"file://{tmp_path / 'probe.html'}"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    width = re.search(r"<title>width (\d+)</title>", unescape(found.stdout))
    if not width:
        pytest.skip(f"Chromium did not run: {found.stderr.strip()[-200:]}")
    return int(width[1])
