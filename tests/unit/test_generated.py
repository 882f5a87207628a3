"""Documents that are made from the code: they are up to date, and what they show is right."""

from __future__ import annotations

import json

import pytest

from lab.generated import CHECKOUT, FILES
from lab.scenario.load import inspect_octets
from lab.scenario.reference import examples, sections

EXAMPLES = list(examples())


@pytest.mark.parametrize("path", FILES)
def test_a_generated_document_is_up_to_date(path):
    now = (CHECKOUT / path).read_text(encoding="utf-8")
    assert now == FILES[path](), "run .venv/bin/python -m lab.generated"


@pytest.mark.parametrize(
    "scenario",
    [scenario for _, _, scenario in EXAMPLES],
    ids=[f"{heading}: {key}" for heading, key, _ in EXAMPLES],
)
def test_the_example_of_a_key_has_no_faults(scenario, tmp_path, monkeypatch):
    """A key that needs others beside it has a model with an example of its own."""
    (tmp_path / "my_switch.py").touch()  # an application has to be there
    monkeypatch.chdir(tmp_path)
    inspection = inspect_octets(json.dumps(scenario).encode(), "example.yaml")
    assert inspection.faults == ()
    assert inspection.warnings == ()


def test_every_kind_of_everything_has_a_section_with_what_it_is():
    from exporters import EXPORTERS
    from lab.disturbances import DISTURBANCES
    from lab.traffic import KINDS
    from topologies import SHAPES

    told = {section.heading: section.about for section in sections()}
    every = {"exporters": EXPORTERS, "traffic": KINDS, "topology": SHAPES, "fault": DISTURBANCES}
    for word, kinds in every.items():
        for kind in kinds:
            assert told[f"{word}: {kind}"].endswith((".", ")"))


def test_every_exporter_says_how_it_differs():
    from exporters import EXPORTERS

    for kind in EXPORTERS.values():
        assert kind.differences.count("\n- ") >= 2, kind.name
