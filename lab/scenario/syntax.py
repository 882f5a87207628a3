"""What is wrong where a text is no YAML, said for people who do not know YAML's grammar.

PyYAML stops at the first such place, and often one line after the mistake; the usual mistakes
are recognised here and shown where they were made.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from lab.scenario.faults import Fault, quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    import yaml

_NO_SPACE: Final = re.compile(r"[ ]*(?:- +)*(?P<key>[A-Za-z_]+):(?P<value>[^\s:/][^#]*)")
_CLOSERS: Final = {"'}'": ("{", "}"), "']'": ("[", "]")}


def syntax_fault(error: yaml.MarkedYAMLError, text: str, file: str) -> Fault:
    """The one fault that stands for a parser's error."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = error.problem or "this is not YAML"
    lines = text.splitlines()
    missing_space = _missing_space(problem, lines, line)
    if missing_space:
        return Fault(file, *missing_space)
    context = error.context_mark
    opened = (context.line + 1, context.column + 1) if context else (line, column)
    for closer, (opening, closing) in _CLOSERS.items():
        if f"or {closer}" in problem and (opened[0] != line or "<stream end>" in problem):
            message = f"this '{opening}' is not closed"
            hint = f"write '{closing}' at its end, and commas in between"
            return Fault(file, *opened, "", message, hint)
        if f"or {closer}" in problem:
            message = f"a ',' or '{closing}' is missing before this"
            hint = f"separate what is between '{opening}' and '{closing}' by commas"
            return Fault(file, line, column, "", message, hint)
    if "unexpected end of stream" in problem:
        hint = "end the text with the same mark"
        return Fault(file, *opened, "", "this quotation mark is not closed", hint)
    message, hint = _in_words(problem)
    return Fault(file, line, column, "", message, hint)


def _missing_space(
    problem: str, lines: Sequence[str], line: int
) -> tuple[int, int, str, str, str] | None:
    """Where ``key:value`` was written for ``key: value``, in the line named or just before it."""
    if "mapping values are not allowed" not in problem and "expected ':'" not in problem:
        return None
    for number in (line, line - 1):
        match = _NO_SPACE.fullmatch(lines[number - 1]) if 1 <= number <= len(lines) else None
        if match:
            good = f"{match['key']}: {match['value'].strip()}"
            message = "a space is missing after ':'"
            return number, match.end("key") + 1, "", message, f"write {quote(good)}"
    return None


_WORDS: Final[Sequence[tuple[str, str, str]]] = (
    # what PyYAML says, what it means, what to do
    (r"character '\\t'", "a tab is used for indentation", "use spaces"),
    (
        r"character '(?P<what>[^']+)' that cannot start",
        "text may not begin with '{what}' here",
        "put the text in quotes",
    ),
    (
        "mapping values are not allowed",
        "a ':' is not expected here",
        "put text with ': ' in quotes, or check the indentation",
    ),
    (
        "sequence entries are not allowed",
        "a '- ' is not expected here",
        "begin the list on a line of its own",
    ),
    (
        "could not find expected ':'",
        "this is neither a key nor part of what is above it",
        "write 'key: value', or indent it further",
    ),
    (
        r"expected <block end>, but found '(?P<what>[}\],])'",
        "'{what}' closes nothing that is open",
        "delete it",
    ),
    (
        "expected <block end>, but found '<scalar>'",
        "there is more text after the value",
        "put all of the text in quotes",
    ),
    (
        "expected <block end>",
        "the indentation fits no line above",
        "align it with the lines that it belongs to",
    ),
    (
        "expected the node content, but found '<(?:stream|document) ",
        "a value is expected here, but nothing follows",
        "write it, or look for a '[' or '{' that is not closed",
    ),
    (
        r"expected the node content, but found '(?P<what>.)'",
        "a value is expected here, found '{what}'",
        "put text with this character in quotes",
    ),
    (
        "escape (?:sequence|character)",
        "'\\' begins no known escape in double quotes",
        "use single quotes, or write '\\\\'",
    ),
)


def _in_words(problem: str) -> tuple[str, str]:
    for pattern, message, hint in _WORDS:
        match = re.search(pattern, problem)
        if match:
            what = match.groupdict().get("what", "")
            return message.replace("{what}", what), hint
    problem = problem.replace("'\\x00'", "the end of the file")
    return f"this is not YAML: {problem}", "put text with special characters in quotes"
