"""A plugin for pytest: cases and scenario files as tests, in the repository of a collector.

    pytest --flowlab-collector nfdump --flowlab-cases bundled

Collected are cases (by their ``case.yaml``) and scenarios (``*.flowlab.yaml``). An item that fails
shows the evidence: flow, field, expected, observed, the datagram and its octets. Fixtures:

    flowlab_collector  the collector under test; a test that asks for it runs for each one given
    flowlab_replay     feeds that collector with a case, and says what came of it
    flowlab_run        runs a scenario, and gives its verdict and folder
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from collector.corpus.case import Case
    from lab.conform.run import Collector, Outcome
    from lab.runner import Ran

SCENARIO: Final = ".flowlab.yaml"
"""How the names of scenario files end that are tests."""
_BUNDLED: Final = "bundled"
_COLLECTORS: Final = pytest.StashKey[list["Collector"]]()
_BAD: Final = ("FAIL", "INVALID")
_MOST_TOLD: Final = 40
"""Checks of a run that did not pass: where the experiment broke, all of thousands are INVALID."""
_RUN_WITHOUT: Final = "give --flowlab-collector NAME, or a .yaml that describes one"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("flowlab", "collectors of flow exports under test")
    group.addoption(
        "--flowlab-collector",
        action="append",
        default=[],
        metavar="NAME|FILE.yaml",
        help="a collector under test (see flowlab collectors); may be repeated",
    )
    group.addoption(
        "--flowlab-cases",
        action="append",
        default=[],
        metavar="bundled|NAME|DIR",
        help="cases besides those that are collected; bundled: all of flowlab's own",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Read which collectors are meant."""
    config.stash[_COLLECTORS] = list(_collectors(config.getoption("--flowlab-collector")))


def _collectors(texts: Sequence[str]) -> Iterator[Collector]:
    from lab.conform.run import NoCollector, chosen

    try:
        yield from chosen(texts)
    except NoCollector as wrong:
        raise pytest.UsageError(str(wrong)) from None


# ── what is collected ──


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take cases and scenarios; cases only if there is a collector for them."""
    if file_path.name == "case.yaml" and parent.config.stash[_COLLECTORS]:
        return CaseFile.from_parent(parent, path=file_path)
    if file_path.name.endswith(SCENARIO):
        return ScenarioFile.from_parent(parent, path=file_path)
    return None


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the cases that were asked for by name."""
    from collector.corpus.case import WrongCaseError
    from lab.corpus import find_cases

    names = config.getoption("--flowlab-cases")
    if names and not config.stash[_COLLECTORS]:
        raise pytest.UsageError(f"--flowlab-cases: {_RUN_WITHOUT}")
    try:
        cases = find_cases([name for name in names if name != _BUNDLED]) if names else []
    except WrongCaseError as wrong:
        raise pytest.UsageError(str(wrong)) from None
    if _BUNDLED in names and len(names) > 1:
        cases += find_cases([])
    for case in cases:
        file = CaseFile.from_parent(session, path=case.folder / "case.yaml", nodeid=case.name)
        items.extend(file.collect())


class CaseFile(pytest.File):
    """A case: an item for each collector."""

    def collect(self) -> Iterator[CaseItem]:
        """The items."""
        for one in self.config.stash[_COLLECTORS]:
            yield CaseItem.from_parent(self, name=one.label, flowlab_collector=one)


class CaseItem(pytest.Item):
    """A case and a collector."""

    def __init__(self, *, flowlab_collector: Collector, **named: Any) -> None:
        super().__init__(**named)
        self._collector = flowlab_collector

    def runtest(self) -> None:
        """Feed the collector with the case."""
        from collector.conform import Result
        from lab.corpus import read_case

        outcome = fed(read_case(self.path.parent), self._collector)
        if outcome.result is Result.NOT_EXPRESSIBLE:
            pytest.skip("; ".join(outcome.compared.left_out))
        if outcome.result is not Result.PASS:
            raise CaseFailed(outcome)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The evidence, instead of a traceback."""
        if isinstance(excinfo.value, CaseFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """How it is called."""
        return self.path, None, f"{self.path.parent.name}: {self.name}"


class CaseFailed(AssertionError):
    """A collector told a case wrongly; the text is the evidence."""

    def __init__(self, outcome: Outcome) -> None:
        from lab.report.matrix import explained

        super().__init__("\n".join(explained(outcome)))
        self.outcome = outcome


class ScenarioFile(pytest.File):
    """A scenario: one item."""

    def collect(self) -> Iterator[ScenarioItem]:
        """The item."""
        yield ScenarioItem.from_parent(self, name=self.path.name.removesuffix(SCENARIO))


class ScenarioItem(pytest.Item):
    """A scenario, run in a real lab."""

    def runtest(self) -> None:
        """Run it and judge it."""
        from collector.check import Outcome as Verdict

        factory: pytest.TempPathFactory = self.config._tmp_path_factory  # type: ignore[attr-defined] # noqa: SLF001
        ran = run(self.path, factory.mktemp("flowlab-runs"))
        if ran.verdict.outcome is not Verdict.PASS:
            raise RunFailed(ran)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The verdict, instead of a traceback."""
        if isinstance(excinfo.value, RunFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """How it is called."""
        return self.path, None, self.name


class RunFailed(AssertionError):
    """A scenario did not pass; the text says what was wrong, and where the run folder is."""

    def __init__(self, ran: Ran) -> None:
        lines = [f"{ran.verdict.outcome}  {ran.verdict.scenario}"]
        lines += [f"  {one.link}: {one.what}" for one in ran.verdict.breaks]
        bad = [one for one in ran.verdict.checks if one.outcome.value in _BAD]
        lines += [
            f"  {check.outcome}  {check.exporter} at {check.observation_point}, {check.key}: "
            f"{check.measure}: expected {check.expected}, observed {check.observed}; {check.why}"
            for check in bad[:_MOST_TOLD]
        ]
        lines += [f"  and {len(bad) - _MOST_TOLD} checks more"] if len(bad) > _MOST_TOLD else []
        super().__init__("\n".join([*lines, f"  all of it is in {ran.folder}"]))
        self.ran = ran


# ── fixtures ──


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test for every collector, if it asks for one."""
    if "flowlab_collector" in metafunc.fixturenames:
        given = metafunc.config.stash[_COLLECTORS]
        ids = [one.label for one in given]
        metafunc.parametrize(
            "flowlab_collector", given or [None], ids=ids or ["none"], indirect=True
        )


@pytest.fixture
def flowlab_collector(request: pytest.FixtureRequest) -> Collector:
    """The collector under test; the test is skipped if none was given."""
    found: Collector | None = request.param
    if found is None:
        pytest.skip(_RUN_WITHOUT)
    return found


@pytest.fixture
def flowlab_replay(flowlab_collector: Collector) -> Callable[[Path | str], Outcome]:
    """Feed the collector under test with a case: a folder, or the name of a bundled one."""

    def replay(case: Path | str) -> Outcome:
        from lab.corpus import find_cases

        (found,) = find_cases([str(case)])
        return fed(found, flowlab_collector)

    return replay


@pytest.fixture
def flowlab_run(tmp_path: Path) -> Callable[[Path | str], Ran]:
    """Run a scenario, of a file or of flowlab's library; its verdict and its folder."""
    return lambda scenario: run(scenario, tmp_path / "flowlab-runs")


def fed(case: Case, collector: Collector) -> Outcome:
    """Feed a collector with a case; whatever happens, there is an outcome."""
    from lab.conform.run import conform, way_in

    way, _ = way_in()
    (outcome,) = conform([case], [collector], way, 1, lambda _: None)
    return outcome


def run(scenario: Path | str, runs: Path) -> Ran:
    """Run a scenario; skips the test where no lab can run, or not with all that it needs."""
    import shutil

    from collector.check import Outcome as Verdict
    from lab.capsule.outside import CannotEnter, find_way
    from lab.library import find
    from lab.runner import Prepared
    from lab.scenario.load import load

    missing = [name for name in ("mnexec", "ovs-vswitchd") if shutil.which(name) is None]
    if missing:
        _skip(f"{', '.join(missing)} not installed: no lab can run here")
    try:
        way = find_way(sudo=False)
    except CannotEnter as refused:
        _skip(str(refused))
    ran = Prepared(load(find(str(scenario))), runs, way).run(lambda _: None)
    if ran.verdict.outcome is Verdict.SKIPPED:
        _skip(_why_skipped(ran))
    return ran


def _why_skipped(ran: Ran) -> str:
    """What this machine lacks: each check says so, or there is none and the run does."""
    checks = ran.verdict.checks
    reasons = dict.fromkeys(one.why for one in checks if one.outcome.value == "SKIPPED" and one.why)
    return "; ".join(reasons or ran.verdict.notes) or "the run was skipped"


def _skip(why: str) -> NoReturn:
    pytest.skip(why)
