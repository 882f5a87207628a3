"""Grades as a table on a terminal, as CSV, as a workbook, as a page, and as JUnit XML."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jinja2
from rich.table import Table

from lab.report.terminal import console

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lab.exercises.grade import Grade
    from lab.exercises.model import Exercise

_HERE: Final = Path(__file__).parent
_WIDEST: Final = 40
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula's beginning."""


def show(exercise: Exercise, grades: Sequence[Grade]) -> None:
    """A line per submission, and the mean."""
    table = Table("submission", "points", "", box=None, pad_edge=False, header_style="bold")
    for one in grades:
        parts = "".join("✓" if part.right else "·" for part in one.parts)
        first = one.says[0] if one.says else ""
        table.add_row(
            one.submission.name, f"{one.points} of {exercise.points}", f"{parts}  {first}"
        )
    screen = console()
    screen.print(table, markup=False)
    mean = sum(one.points for one in grades) / max(1, len(grades))
    screen.print(f"{len(grades)} submissions, {mean:.1f} points on average", highlight=False)


def as_csv(exercise: Exercise, grades: Sequence[Grade]) -> bytes:
    """A row per submission. What a spreadsheet would calculate gets an apostrophe in front."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    for row in _rows(exercise, grades):
        writer.writerow([_no_formula(cell) if isinstance(cell, str) else cell for cell in row])
    return out.getvalue().encode()


def as_workbook(exercise: Exercise, grades: Sequence[Grade]) -> bytes:
    """The same as a workbook of Excel; all text stays text."""
    import xlsxwriter

    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet(exercise.name[:31])
        bold = book.add_format({"bold": True})
        for number, row in enumerate(_rows(exercise, grades)):
            for column, cell in enumerate(row):
                style = None if number else bold
                if isinstance(cell, str):
                    sheet.write_string(number, column, cell, style)
                else:
                    sheet.write_number(number, column, cell, style)
        sheet.freeze_panes(1, 1)
        sheet.autofit(8 * _WIDEST)
    return out.getvalue()


def as_page(exercise: Exercise, grades: Sequence[Grade]) -> bytes:
    """A page: the table, then what is said to each."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined
    )
    template = environment.get_template("grades.html")
    return template.render(exercise=exercise, grades=grades).encode()


def as_junit(exercise: Exercise, grades: Sequence[Grade]) -> bytes:
    """A suite per submission, a case per part."""
    root = ET.Element("testsuites", name=exercise.name)
    for one in grades:
        wrong = sum(not part.right for part in one.parts)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_xml(one.submission.name),
            tests=str(len(one.parts)),
            failures=str(wrong),
        )
        for part in one.parts:
            case = ET.SubElement(
                suite, "testcase", classname=_xml(one.submission.name), name=part.name
            )
            if not part.right:
                said = _xml("\n".join([*part.says, *one.says]) or "not right")
                ET.SubElement(case, "failure", message=said.splitlines()[0]).text = said
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


FORMS: Final[Mapping[str, tuple[str, Callable[[Exercise, Sequence[Grade]], bytes]]]] = {
    "csv": ("csv", as_csv),
    "xlsx": ("xlsx", as_workbook),
    "html": ("html", as_page),
    "junit": ("xml", as_junit),
}
"""By name: what the file's name ends in, and what makes it."""


def _rows(exercise: Exercise, grades: Sequence[Grade]) -> list[list[str | int]]:
    names = [part.name for part in grades[0].parts] if grades else []
    head: list[str | int] = ["submission", "learner", "points", "of", *names, "says"]
    return [head, *(_row(exercise, one) for one in grades)]


def _row(exercise: Exercise, one: Grade) -> list[str | int]:
    got = [part.points if part.right else 0 for part in one.parts]
    said = [*one.says, *(f"{part.name}: {line}" for part in one.parts for line in part.says)]
    return [
        one.submission.name,
        one.submission.learner,
        one.points,
        exercise.points,
        *got,
        "\n".join(said),
    ]


def _no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULAS) else text


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 cannot have (section 2.2)."""
    return "".join(each if each.isprintable() or each in "\n\t" else "�" for each in text)
