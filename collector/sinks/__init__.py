"""Where tables go besides Parquet files: engines that reach beyond one machine.

Same views, same columns (`collector.store.VIEWS`). To add an engine, write a module with a class
that is a `Sink`, and name it in `_ENGINES`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

HOW_TO_INSTALL: Final = ".venv/bin/python -m pip install 'chdb>=4.1.7,<5'"
_ENGINES: Final[Mapping[str, tuple[str, str]]] = {
    "clickhouse": ("collector.sinks.clickhouse", "ClickHouse"),
    "clickhouses": ("collector.sinks.clickhouse", "ClickHouse"),
    "chdb": ("collector.sinks.clickhouse", "ClickHouse"),
    "kafka": ("collector.sinks.kafka", "Kafka"),
}
"""By the scheme of the address: module and class. `clickhouses` is over TLS, `chdb` is the same
engine inside this process, with its data in a folder."""


class WrongSinkError(ValueError):
    """An address names no engine, or one that is not installed; the text says what to do."""


class SinkError(Exception):
    """An engine did not take rows or answer a question; the text says what it said."""


class Sink(Protocol):
    """An engine that is open."""

    def write(self, rows: Mapping[str, pl.DataFrame]) -> None:
        """Hand over a batch: view to rows.

        Raises:
            SinkError: not all of them were taken.
        """

    def close(self) -> None:
        """Wait until all of it has been taken.

        Raises:
            SinkError: not all of it was.
        """


def is_address(text: str) -> bool:
    """Whether a text is an address of an engine, and not a folder."""
    return "://" in text


def shown(address: str) -> str:
    """An address without its password."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    return urlunsplit(parts._replace(netloc=user + host))


def open_sink(address: str) -> Sink:
    """Open an engine.

    Args:
        address: ``clickhouse://USER:PASSWORD@HOST:8123/DATABASE``, ``chdb:///FOLDER`` or
            ``kafka://HOST:9092/PREFIX``.

    Raises:
        SinkError: it does not answer.
        WrongSinkError: there is no such engine, or its client is not installed.
    """
    scheme = urlsplit(address).scheme
    if scheme not in _ENGINES:
        message = f"{shown(address)!r}: an engine's address begins with one of " + ", ".join(
            f"{name}://" for name in _ENGINES
        )
        raise WrongSinkError(message)
    module, name = _ENGINES[scheme]
    try:
        opened: Sink = getattr(importlib.import_module(module), name)(address)
    except ImportError as missing:
        message = f"{scheme}:// needs the package {missing.name}, run: {HOW_TO_INSTALL}"
        raise WrongSinkError(message) from None
    return opened


def ask_engine(sql: str, address: str) -> pl.DataFrame:
    """Answer a question in the language of an engine.

    Raises:
        SinkError: it is wrong, or the engine does not answer.
        WrongSinkError: there is no such engine, or none that answers questions.
    """
    engine = open_sink(address)
    ask = getattr(engine, "ask", None)
    if ask is None:
        raise WrongSinkError(f"{shown(address)} takes rows and answers no questions")
    try:
        answer: pl.DataFrame = ask(sql)
    finally:
        engine.close()
    return answer
