"""Protobuf's text format, as ``.prototxt`` files have it, into dictionaries of lists."""

from __future__ import annotations

import re
from typing import Any

from hasten.errors import BadModel

MOST_BYTES = 64 << 20
DEEPEST = 64
"""Messages inside messages; networks have five."""
TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<mark>[{}:<>\[\],;])|(?P<word>[^\s{}:<>\[\],;"'\#]+)"""
)

Message = dict[str, list[Any]]


def parse(source: str) -> Message:
    """Every field with all its values, in order; messages are dictionaries themselves."""
    if len(source) > MOST_BYTES:
        raise BadModel("Cannot read the network: its text is larger than 64 MiB.")
    return _Reader(source).whole()


class _Reader:
    """One pass over the tokens."""

    def __init__(self, source: str) -> None:
        self.source, self.place = source, 0
        self.ahead: tuple[str, str] | None = None
        self._step()

    def whole(self) -> Message:
        found = self._message(None, 0)
        if self.ahead is not None:
            raise self._wrong(f"'{self.ahead[1]}' closes nothing")
        return found

    def _step(self) -> tuple[str, str] | None:
        """The token that was ahead; the next one is ahead now."""
        before, self.ahead = self.ahead, None
        while self.place < len(self.source):
            match = TOKEN.match(self.source, self.place)
            if match is None:
                raise self._wrong("a text has no end")
            self.place = match.end()
            if match.lastgroup:
                self.ahead = (match.lastgroup, match.group())
                break
        return before

    def _wrong(self, why: str) -> BadModel:
        line = self.source.count("\n", 0, self.place) + 1
        return BadModel(f"Cannot read the network: {why}, in line {line}.")

    def _message(self, end: str | None, depth: int) -> Message:
        if depth > DEEPEST:
            raise self._wrong(f"its messages are more than {DEEPEST} deep")
        fields: Message = {}
        while self.ahead is not None and self.ahead[1] not in ("}", ">"):
            kind, name = self._step() or ("", "")
            if name in (",", ";"):
                continue
            if kind != "word":
                raise self._wrong(f"{name} stands where a field's name belongs")
            if values := self._values(name, depth):
                fields.setdefault(name, []).extend(values)
        if end is not None:
            closing = self._step()
            if closing is None or closing[1] != end:
                raise self._wrong(f"a message is not closed by {end}")
        return fields

    def _values(self, name: str, depth: int) -> list[Any]:
        if self.ahead is not None and self.ahead[1] == ":":
            self._step()
        token = self._step()
        if token is None:
            raise self._wrong(f"field '{name}' has no value")
        kind, text = token
        if text in ("{", "<") and kind == "mark":
            return [self._message("}" if text == "{" else ">", depth + 1)]
        if text == "[" and kind == "mark":
            return self._list(name, depth)
        if kind == "mark":
            raise self._wrong(f"field '{name}' has no value")
        return [_value(kind, text)]

    def _list(self, name: str, depth: int) -> list[Any]:
        found: list[Any] = []
        while (token := self._step()) is not None:
            kind, text = token
            if kind == "mark" and text == "]":
                return found
            if kind == "mark" and text in ("{", "<"):
                found.append(self._message("}" if text == "{" else ">", depth + 1))
            elif kind != "mark":
                found.append(_value(kind, text))
            elif text != ",":
                break
        raise self._wrong(f"the list of '{name}' has no end")


def _value(kind: str, text: str) -> Any:
    if kind == "text":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    for read in (lambda one: int(one, 0), float):
        try:
            return read(text.rstrip("f") if read is float and not text.endswith("inf") else text)
        except (ValueError, OverflowError):
            continue
    return text
