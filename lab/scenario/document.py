"""YAML text in, plain data out, with the line and column of every key and value.

The files are other people's: nothing in them is executed or imported, no tag is obeyed, and
size, depth and what aliases may grow to have limits. PyYAML only scans and parses (its events);
what a plain word means is decided here, more narrowly than YAML 1.1 does: ``on`` and ``yes``
are words, ``1:30`` is not ninety, and ``0755`` is asked about.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import yaml

from lab.scenario.faults import Fault, path_text, quote
from lab.scenario.syntax import syntax_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.scenario.faults import Path

MOST_OCTETS: Final = 2**20
MOST_VALUES: Final = 20_000
"""Keys and values, those that aliases stand for included."""
DEEPEST: Final = 20
_NEEDED: Final = "at least title, topology, exporters and traffic"

_NOTHING: Final = frozenset({"", "~", "null", "Null", "NULL"})
_WHOLE: Final = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,29})", re.ASCII)
_DECIMAL: Final = re.compile(
    r"[-+]?(?:0|[1-9][0-9_]{0,29})(?:\.[0-9]{0,30})?(?:[eE][-+]?[0-9]{1,3})?", re.ASCII
)
_OCTAL: Final = re.compile(r"[-+]?0o?[0-9][0-9_]*", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Mark(NamedTuple):
    """A place in the text: line and column, in characters, both from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Document:
    """A file's data and where each part of it is written.

    Attributes:
        file: what the file is called in messages.
        data: dictionaries, lists, text, numbers and None.
        faults: what is wrong with the file as YAML although it can be read.
        settled: where values are that `faults` already speaks of.
        elsewhere: the keys at its top whose values are the contents of other files, and those.
    """

    file: str
    data: object = None
    faults: tuple[Fault, ...] = ()
    settled: frozenset[Mark] = frozenset()
    _values: dict[Path, Mark] = field(default_factory=dict, repr=False)
    _keys: dict[Path, Mark] = field(default_factory=dict, repr=False)
    elsewhere: Mapping[str, Document] = field(default_factory=dict)

    def value_mark(self, path: Path) -> Mark:
        """Where the value at ``path`` begins, or the nearest value around it."""
        while path and path not in self._values:
            path = path[:-1]
        return self._values.get(path, Mark(1, 1))

    def key_mark(self, path: Path) -> Mark:
        """Where the key at the end of ``path`` begins; else as `value_mark`."""
        return self._keys.get(path) or self.value_mark(path)

    def fault(self, path: Path, message: str, hint: str = "", *, at_key: bool = False) -> Fault:
        """A fault at a value, or at its key, in the file that it is written in."""
        document, below = self._written_in(path)
        mark = document.key_mark(below) if at_key else document.value_mark(below)
        return Fault(document.file, mark.line, mark.column, path_text(path), message, hint)

    def is_settled(self, path: Path) -> bool:
        """Whether `faults` already speaks of the value at ``path``."""
        document, below = self._written_in(path)
        return document.value_mark(below) in document.settled

    def _written_in(self, path: Path) -> tuple[Document, Path]:
        """The file that has the value at ``path``, and its path there."""
        other = self.elsewhere.get(str(path[0])) if path else None
        return (self, path) if other is None else (other, path[1:])

    def with_value_of(self, key: str, other: Document) -> Document:
        """The same with the content of another file as the value of a key at the top."""
        assert isinstance(self.data, dict)
        data = {**self.data, key: other.data}
        faults = (*self.faults, *other.faults)
        return replace(self, data=data, faults=faults, elsewhere={**self.elsewhere, key: other})


def read(octets: bytes, file: str, needed: str = _NEEDED) -> Document:
    """Read YAML. Whatever the octets are, the answer is a document; its faults may be fatal.

    A document whose text is no YAML at all has one fault and no data.

    Args:
        octets: the file's content.
        file: what it is called in messages.
        needed: what has to be written in an empty one.
    """
    reader = _Reader(file, needed)
    try:
        root = reader.document(_decode(octets, file))
    except _Fatal as fatal:
        return Document(file, faults=(fatal.fault,))
    data = reader.unfold(root, ())
    return Document(
        file,
        data,
        tuple(reader.faults),
        frozenset(reader.settled),
        reader.value_marks,
        reader.key_marks,
    )


class _Fatal(Exception):
    """Reading cannot go on."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def _decode(octets: bytes, file: str) -> str:
    """The text of a file.

    Raises:
        _Fatal: it is too large, or not UTF-8 (RFC 3629), or has characters that YAML excludes.
    """
    if len(octets) > MOST_OCTETS:
        message = "the file is larger than 1 MiB"
        raise _Fatal(Fault(file, 0, 0, "", message, "a scenario is a few lines of YAML"))
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        mark = _mark_at(octets[: error.start].decode("utf-8"))
        message = f"the octet 0x{octets[error.start]:02x} is not UTF-8 text"
        hint = "save the file as text, in the encoding UTF-8"
        raise _Fatal(Fault(file, *mark, "", message, hint)) from None
    excluded = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if excluded:
        mark = _mark_at(text[: excluded.start()])
        message = f"the character U+{ord(excluded.group()):04X} may not be in YAML"
        raise _Fatal(Fault(file, *mark, "", message, "delete it"))
    return text


def _mark_at(before: str) -> Mark:
    """The place just after ``before``."""
    return Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))


# ------------------------------------------------------------------ nodes


@dataclass(frozen=True)
class _Scalar:
    mark: Mark
    text: str
    plain: bool
    height: int = 0
    size: int = 1


@dataclass(frozen=True)
class _List:
    mark: Mark
    items: tuple[_Node, ...]
    height: int
    size: int


@dataclass(frozen=True)
class _Mapping:
    mark: Mark
    items: tuple[tuple[_Scalar, _Node], ...]
    height: int
    size: int


_Node = _Scalar | _List | _Mapping


class _Reader:
    """One pass over the events of one file."""

    def __init__(self, file: str, needed: str) -> None:
        self.file = file
        self.needed = needed
        self.faults: list[Fault] = []
        self.settled: set[Mark] = set()
        self.value_marks: dict[Path, Mark] = {}
        self.key_marks: dict[Path, Mark] = {}
        self._anchors: dict[str, _Node] = {}
        self._open_anchors: set[str] = set()
        self._size = 0

    def document(self, text: str) -> _Node:
        """The only document in ``text``.

        Raises:
            _Fatal: this is no YAML, or too much of it.
        """
        self._events = self._parse(text)
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            hint = f"write {self.needed}"
            raise _Fatal(Fault(self.file, 1, 1, "", "the file is empty", hint))
        root = self._node(next(self._events), depth=0)
        next(self._events)  # the document's end
        more = next(self._events)
        if not isinstance(more, yaml.StreamEndEvent):
            raise self._fatal(more, "a second document begins here", "write one scenario per file")
        return root

    def _parse(self, text: str) -> Iterator[yaml.Event]:
        """The parser's events without the stream's start."""
        mark = Mark(1, 1)
        try:
            events = yaml.parse(text, Loader=yaml.SafeLoader)
            next(events)
            for event in events:
                mark = _mark(event)
                yield event
        except yaml.MarkedYAMLError as error:
            raise _Fatal(syntax_fault(error, text, self.file)) from None
        except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, TypeError):
            # PyYAML itself stumbles over a few things, such as "\UFFFFFFFF".
            hint = "look for a wrong escape after '\\'"
            message = "what follows cannot be read as YAML"
            raise _Fatal(Fault(self.file, *mark, "", message, hint)) from None

    def _fatal(self, event: yaml.Event, message: str, hint: str) -> _Fatal:
        """Reading ends at an event."""
        return _Fatal(Fault(self.file, *_mark(event), "", message, hint))

    def _complain(self, mark: Mark, path: Path, message: str, hint: str) -> None:
        self.faults.append(Fault(self.file, *mark, path_text(path), message, hint))
        self.settled.add(mark)

    def _node(self, event: yaml.Event, depth: int) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, event.anchor or "", depth)
        if not isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            raise self._fatal(event, "a value is missing here", "write one")
        self._count(event, 1)
        if depth > DEEPEST:
            raise self._fatal(event, f"this is nested more than {DEEPEST} deep", "write it flatter")
        if event.tag is not None:
            tag = quote(event.tag.replace("tag:yaml.org,2002:", "!!"))
            hint = "write the plain value; text that looks like a number goes in quotes"
            self._complain(_mark(event), (), f"the tag {tag} has no place in a scenario", hint)
        if event.anchor is not None:
            self._open_anchors.add(event.anchor)
            self._anchors.pop(event.anchor, None)
        node: _Node
        if isinstance(event, yaml.ScalarEvent):
            node = _Scalar(_mark(event), event.value, plain=event.style is None)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.anchor is not None:
            self._open_anchors.discard(event.anchor)
            self._anchors[event.anchor] = node
        return node

    def _count(self, event: yaml.Event, size: int) -> None:
        self._size += size
        if self._size > MOST_VALUES:
            message = f"the file has more than {MOST_VALUES} values up to here"
            raise self._fatal(event, message, "aliases (*name) count as often as they are used")

    def _alias(self, event: yaml.AliasEvent, name: str, depth: int) -> _Node:
        node = self._anchors.get(name)
        if node is None:
            wrong = "contains itself" if name in self._open_anchors else "stands for nothing"
            hint = f"write {quote('&' + name)} at a value before it"
            raise self._fatal(event, f"the alias {quote('*' + name)} {wrong}", hint)
        self._count(event, node.size)
        if depth + node.height > DEEPEST:
            raise self._fatal(event, f"this is nested more than {DEEPEST} deep", "write it flatter")
        return node

    def _list(self, event: yaml.Event, depth: int) -> _List:
        items: list[_Node] = []
        while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(item, depth + 1))
        return _List(_mark(event), tuple(items), _height(items), 1 + sum(i.size for i in items))

    def _mapping(self, event: yaml.Event, depth: int) -> _Mapping:
        items: list[tuple[_Scalar, _Node]] = []
        while not isinstance(item := next(self._events), yaml.MappingEndEvent):
            key = self._node(item, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, _Scalar) or isinstance(item, yaml.AliasEvent):
                hint = "a key is a word: 'key: value'; text with {, [ or * goes in quotes"
                self._complain(_mark(item), (), "this cannot be a key", hint)
            elif key.plain and key.text == "<<":
                hint = "write the keys out, or use an alias for a whole value"
                self._complain(key.mark, (), "merge keys ('<<') are not supported", hint)
            else:
                items.append((key, value))
        nodes = [value for _, value in items]
        size = 1 + sum(1 + node.size for node in nodes)
        return _Mapping(_mark(event), tuple(items), _height(nodes), size)

    # -------------------------------------------------------------- data

    def unfold(self, node: _Node, path: Path) -> object:
        """The data of a node, aliases copied; notes where each part of it is."""
        self.value_marks[path] = node.mark
        if isinstance(node, _Scalar):
            return self._scalar(node, path)
        if isinstance(node, _List):
            return [self.unfold(item, (*path, index)) for index, item in enumerate(node.items)]
        data: dict[str, object] = {}
        for key, value in node.items:
            below = (*path, key.text)
            if key.text in data:
                first = self.key_marks[below]
                message = f"the key {quote(key.text)} is already in line {first.line}"
                self._complain(key.mark, below, message, "keep one of the two")
            elif _CONTROL.search(key.text):
                hint = "a key is a plain word"
                self._complain(key.mark, path, "this key has control characters", hint)
            else:
                self.key_marks[below] = key.mark
                data[key.text] = self.unfold(value, below)
        return data

    def _scalar(self, node: _Scalar, path: Path) -> object:
        control = _CONTROL.search(node.text)
        if control:
            message = f"the character U+{ord(control.group()):04X} is not text"
            self._complain(node.mark, path, message, "leave it out")
            return ""
        if not node.plain:
            return node.text
        if _OCTAL.fullmatch(node.text):
            digits = node.text.lstrip("+-0o") or "0"
            message = f"{quote(node.text)} is octal to some readers of YAML and not to others"
            hint = f"write {digits} for the decimal number, or '{node.text}' in quotes for text"
            self._complain(node.mark, path, message, hint)
        return plain_value(node.text)


def plain_value(text: str) -> object:
    """What a word without quotes is: nothing, a number in decimal notation, or text.

    Truth values stay text; only the schema knows where one is wanted.
    """
    if text in _NOTHING:
        return None
    if _WHOLE.fullmatch(text):
        return int(text.replace("_", ""))
    if _DECIMAL.fullmatch(text):
        number = float(text.replace("_", ""))
        return number if math.isfinite(number) else text
    return text


def _mark(event: yaml.Event) -> Mark:
    start = event.start_mark
    return Mark(start.line + 1, start.column + 1) if start else Mark(1, 1)


def _height(nodes: list[_Node]) -> int:
    return 1 + max((node.height for node in nodes), default=0)
