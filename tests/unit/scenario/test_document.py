"""YAML in, plain data with places out; and no octets whatever that break it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.scenario.document import Mark, plain_value, read


def data_of(text: str):
    document = read(text.encode(), "x.yaml")
    assert document.faults == ()
    return document.data


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("5", 5),
        ("-5", -5),
        ("+5", 5),
        ("0", 0),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("1_0.5", 10.5),
        # words that YAML 1.1 takes for something else
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("true", "true"),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("0x1F", "0x1F"),
        ("0b101", "0b101"),
        ("2001-12-14", "2001-12-14"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("1MiB", "1MiB"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_what_a_word_without_quotes_is(word, value):
    result = plain_value(word)
    assert result == value
    assert type(result) is type(value)


def test_quotes_make_text():
    assert data_of("a: '5'\nb: \"null\"\nc: ''") == {"a": "5", "b": "null", "c": ""}


def test_keys_are_words_whatever_they_look_like():
    assert data_of("on: 1\nyes: 2\n5: 3\nnull: 4") == {"on": 1, "yes": 2, "5": 3, "null": 4}


def test_an_octal_number_is_asked_about_and_not_taken_for_one():
    for text in ("0755", "-0755", "0o17", "00"):
        document = read(f"a: {text}".encode(), "x.yaml")
        assert len(document.faults) == 1, text
        assert document.data == {"a": text}


def test_aliases_are_copies():
    assert data_of("a: &x {b: [1, 2]}\nc: *x") == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}


def test_places_of_keys_and_values():
    document = read(b"a: 1\nb:\n  - {c: x, d: [1, 2]}\n", "x.yaml")
    assert document.key_mark(("a",)) == Mark(1, 1)
    assert document.value_mark(("a",)) == Mark(1, 4)
    assert document.value_mark(("b", 0)) == Mark(3, 5)
    assert document.key_mark(("b", 0, "d")) == Mark(3, 12)
    assert document.value_mark(("b", 0, "d", 1)) == Mark(3, 19)


def test_the_place_of_what_is_not_there_is_the_place_around_it():
    document = read(b"a: {b: 1}", "x.yaml")
    assert document.value_mark(("a", "c", "d")) == Mark(1, 4)
    assert document.key_mark(("a", "c")) == Mark(1, 4)


def test_columns_count_characters():
    document = read("ä: {ö: 1, b: 2}".encode(), "x.yaml")
    assert document.key_mark(("ä", "b")) == Mark(1, 11)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system [id]",
        "!!python/name:os.system",
        "!!binary aGVsbG8=",
        "!!set {a, b}",
        "!!timestamp 2001-12-14",
        "!mine 5",
    ],
)
def test_no_tag_is_obeyed(text):
    document = read(f"a: {text}".encode(), "x.yaml")
    assert ["the tag" in fault.message for fault in document.faults] == [True]


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=200))
def test_any_octets_can_be_read(octets):
    document = read(octets, "x.yaml")
    assert all(fault.message for fault in document.faults)


SIGNS = "{}[]:,-?&*!|>'\"%@`#~\\ \n\t\ufeff\u2028é"
BITS = ["- ", ": ", "\n  ", "\n- ", "---", "...", "a", "1", "*a", "&a ", "<<", "!!int "]
ESCAPES = ["\\x", "\\U", "\\UFFFFFFFF", "%YAML 1.1\n"]
YAMLISH = st.lists(st.sampled_from([*SIGNS, *BITS, *ESCAPES]), max_size=40).map("".join)


@settings(deadline=None)  # the machine may be busy
@given(YAMLISH)
def test_any_text_that_looks_like_yaml_is_data_or_has_a_fault(text):
    document = read(text.encode(), "x.yaml")
    lines = text.count("\n") + text.count("\u2028") + 1
    for fault in document.faults:
        assert 1 <= fault.line <= lines
        assert fault.column >= 1
