"""`flowlab generate`: to cases, captures and the network; what is wrong is said."""

from __future__ import annotations

import re
import shlex
import socket
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from collector import pcap
from lab.cli import main
from lab.corpus import CORPUS, read_case

DOCUMENT = Path(__file__).parents[3] / "docs" / "generate.md"


def run(*arguments):
    return CliRunner().invoke(main, ["generate", *map(str, arguments)])


def test_the_same_seed_makes_the_same_octets_and_another_makes_others(tmp_path):
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        assert run("softflowd", "--seed", seed, "--out", tmp_path / name).exit_code == 0
    one, two, three = (
        [(tmp_path / name / file).read_bytes() for file in ("exports.pcap", "truth.json")]
        for name in ("one", "two", "three")
    )
    assert one == two
    assert one[0] != three[0]
    assert one[1] != three[1]


def test_a_file_has_as_many_records_as_are_asked_for(tmp_path):
    ran = run("juniper-ipfix", "--records", 100_000, "--out", tmp_path / "big.pcap")
    assert "100000 records" in ran.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.pcap"]


@pytest.mark.parametrize("options", [(), ("--fault", "duplicate=100"), ("--rate", "5000")])
def test_it_is_sent(options):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(5)
        ran = run("router-netflow5", "--to", f"127.0.0.1:{collector.getsockname()[1]}", *options)
        assert ran.exit_code == 0, ran.output
        assert "nobody listens" not in ran.output
        sent = int(re.search(r"(\d+) datagrams", ran.output)[1])
        got = [collector.recv(2_000) for _ in range(sent)]
    assert sent == (14 if "--fault" in options else 7)
    assert {one[:2] for one in got} == {b"\0\5"}


@pytest.mark.parametrize("options", [(), ("--fault", "duplicate=10")])
def test_that_nobody_listens_is_said(options):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    ran = run("router-netflow5", "--to", f"127.0.0.1:{port}", *options)
    assert ran.exit_code == 0
    assert f"nobody listens at 127.0.0.1 port {port}" in ran.output


def test_faults_befall_a_recorded_case(tmp_path):
    whole = read_case(CORPUS / "recorded" / "vlan")
    ran = run(whole.folder, "--fault", "duplicate=50", "--out", tmp_path / "twice")
    assert ran.exit_code == 0, ran.output
    case = read_case(tmp_path / "twice")
    flows = [[row["flow"] for row in one.truth().flows] for one in (whole, case)]
    assert sorted(map(str, flows[0])) == sorted(map(str, flows[1]))
    packets = [sum(row["packets"] for row in one.truth().flows) for one in (whole, case)]
    assert packets[0] < packets[1] < 2 * packets[0]
    before, after = (one.truth().counts for one in (whole, case))
    assert after["duplicates"] > 5
    assert after["datagrams"] == before["datagrams"] + after["duplicates"]
    assert after["missing"] == before["missing"]


BROKEN = ("--fault", "drop=5", "--fault", "duplicate=5:7", "--records", "500")


def test_a_case_says_how_it_is_made_again_with_the_faults_of_the_command(tmp_path):
    assert run("softflowd", *BROKEN, "--out", tmp_path / "one").exit_code == 0
    told = read_case(tmp_path / "one").manifest
    assert "--fault drop=5:1 --fault duplicate=5:7" in told.remake
    assert {"loss", "duplicates"} <= set(told.features)
    assert "But faults befell the datagrams on their way (drop=5:1, duplicate=5:7)" in told.about
    words = shlex.split(told.remake.replace("DIR", str(tmp_path / "two")))
    assert words[:2] == ["flowlab", "generate"]
    assert run(*words[2:]).exit_code == 0
    for name in ("exports.pcap", "truth.json", "case.yaml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("befell", ["drop=20", "duplicate=30", "reorder=30", "corrupt=20"])
def test_what_faults_befell_is_broken_no_further(befell, tmp_path):
    """What is true would have to be known of datagrams that are not there."""
    assert run("softflowd", "--fault", befell, "--out", tmp_path / "one").exit_code == 0
    ran = run(tmp_path / "one", "--fault", "drop=20:9", "--out", tmp_path / "two")
    assert ran.exit_code == 2
    assert "give all faults at once" in ran.output
    assert f"flowlab generate softflowd --seed 1 --fault {befell}:1 --out DIR" in ran.output
    assert not (tmp_path / "two").exists()


def test_so_does_one_that_was_made_of_another(tmp_path):
    whole = CORPUS / "recorded" / "softflowd-ipfix"
    assert run(whole, "--fault", "drop=20:7", "--out", tmp_path / "one").exit_code == 0
    before, told = (read_case(folder).manifest for folder in (whole, tmp_path / "one"))
    assert "loss" in set(told.features) - set(before.features)
    assert "(drop=20:7)" in told.about
    earlier, then, again = told.remake.partition("; then ")
    assert (earlier, then) == (before.remake, "; then ")
    again = again.replace("DIR", str(whole)).replace("BROKEN", str(tmp_path / "two"))
    assert run(*shlex.split(again)[2:]).exit_code == 0
    for name in ("exports.pcap", "truth.json", "case.yaml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    "source", ["router-netflow9", CORPUS / "recorded" / "five-exporters-agree"]
)
def test_the_seed_decides_on_faults_that_have_none_of_their_own(source, tmp_path):
    def left(name, *options):
        ran = run(source, *options, "--out", tmp_path / name)
        assert ran.exit_code == 0, ran.output
        exports = pcap.datagrams(pcap.read(tmp_path / name / "exports.pcap"))
        return exports.timestamp_ns.tolist()

    drop = ("--fault", "drop=30")
    plain, one, four, five = (
        left(*options)
        for options in (
            ("plain", *drop),
            ("one", "--seed", 1, *drop),
            ("four", "--seed", 4, *drop),
            ("five", "--seed", 5, *drop),
        )
    )
    assert plain == one
    assert len({str(one), str(four), str(five)}) == 3
    own = left("own", "--seed", 4, "--fault", "drop=30:5")
    assert (own == five) is isinstance(source, Path)  # a case's datagrams are drawn by no seed
    assert own != four


def test_what_is_said_is_what_is_left(tmp_path):
    ran = run("softflowd", "--fault", "drop=50", "--out", tmp_path / "dp.pcap")
    left = len(pcap.datagrams(pcap.read(tmp_path / "dp.pcap")))
    assert left < 60
    assert run("softflowd", "--fault", "drop=50", "--out", tmp_path / "case").exit_code == 0
    records = read_case(tmp_path / "case").truth().counts["records"]
    assert f"{left} datagrams, {records} records in" in ran.output
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        port = collector.getsockname()[1]
        ran = run("softflowd", "--fault", "drop=50", "--to", f"127.0.0.1:{port}")
    assert f"{left} datagrams, {records} records in" in ran.output


def test_a_case_without_datagrams_is_not_written(tmp_path):
    ran = run("template-lost", "--records", 5, "--out", tmp_path / "case")
    assert ran.exit_code == 2
    assert "with late_collector=1 none of 1 datagrams is left" in ran.output
    ran = run("two-exporters", "--records", 1, "--out", tmp_path / "case")
    assert ran.exit_code == 2
    assert "give --records 2 or more" in ran.output
    assert run("template-lost", "--fault", "drop=100", "--out", tmp_path / "case").exit_code == 2
    assert not (tmp_path / "case" / "truth.json").exists()


def test_a_catalogue_goes_on_without_those_that_cannot_be(tmp_path):
    ran = run("--catalogue", "--records", 5, "--out", tmp_path / "all")
    assert ran.exit_code == 2
    assert "1 profiles make no case so:\ntemplate-lost: with late_collector=1 none" in ran.output
    assert (tmp_path / "all" / "whole-seconds" / "case.yaml").is_file()


def test_a_biflow_is_one_record_and_two_flows(tmp_path):
    ran = run("biflows", "--fault", "duplicate=50", "--out", tmp_path / "case")
    assert ran.exit_code == 0, ran.output
    truth = read_case(tmp_path / "case").truth()
    assert truth.counts["records"] == 10 * truth.counts["datagrams"]
    assert truth.counts["duplicates"] > 5
    assert len({str(sorted(row["flow"].items())) for row in truth.flows}) > 90
    assert 40 < sum(row.get("reverse", False) for row in truth.flows) < len(truth.flows) / 2
    assert run("biflows", "--out", tmp_path / "whole").exit_code == 0
    again = run(tmp_path / "whole", "--fault", "drop=1", "--out", tmp_path / "less")
    assert again.exit_code == 0, again.output
    assert any(row.get("reverse") for row in read_case(tmp_path / "less").truth().flows)


def test_the_document_has_a_profile_that_works(tmp_path):
    text = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[1]
    (tmp_path / "my.yaml").write_text(text, encoding="utf-8")
    ran = run(tmp_path / "my.yaml", "--out", tmp_path / "case")
    assert ran.exit_code == 0, ran.output


def test_several_exporters_come_in_order_of_time(tmp_path):
    assert run("two-exporters", "--out", tmp_path / "case").exit_code == 0
    datagrams = pcap.datagrams(pcap.read(tmp_path / "case" / "exports.pcap"))
    assert (datagrams.timestamp_ns[1:] >= datagrams.timestamp_ns[:-1]).all()
    assert len({tuple(one) for one in datagrams.source.tolist()}) == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"protocol": "netflow7"}, "expected netflow5, netflow9"),
        ({"speed": 9}, "there is no such key"),
        ({"templates": [{"id": 256, "fields": ["noSuchElement"]}]}, "noSuchElement"),
        (
            {"templates": [{"id": 255, "fields": ["vlanId"]}]},
            "expected at least 256, found the number 255",
        ),
        ({"templates": []}, "ipfix needs templates"),
        ({"fault": [{"link_flap": {"after_step": 1, "link": ["a", "b"]}}]}, "here a fault is one"),
        ({"fault": [{"drop": {"percent": 200}}]}, "expected at most 100, found the number 200"),
        ({"features": ["nothing"]}, "there is no feature 'nothing'"),
        ({"address": "somewhere"}, "does not appear to be an IPv4 or IPv6 address"),
        ({"events": [{"after_records": 1, "kind": "dance"}]}, "redefine"),
        ({"habits": "bad"}, "habits: there is"),
    ],
)
def test_what_is_wrong_with_a_profile_is_said_with_its_line(tmp_path, change, told):
    path = tmp_path / "mine.yaml"
    settings = yaml.safe_load((CORPUS / "edge-cases" / "padding.yaml").read_text("utf-8"))
    path.write_text(yaml.safe_dump(settings | change, sort_keys=False), encoding="utf-8")
    ran = run(path, "--out", tmp_path / "case")
    assert ran.exit_code == 2
    assert told in ran.output
    assert re.search(r"mine\.yaml:\d+:\d+:", ran.output)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("softflowd",), "say where to"),
        (("--out", "x"), "name one profile"),
        (("softflow", "--out", "x"), "there is no profile 'softflow'; there is firewall-events"),
        (("none.yaml", "--out", "x"), "none.yaml: No such file"),
        (("softflowd", "--to", "nowhere"), "is not like 127.0.0.1:2055"),
        (("softflowd", "--fault", "explode=1", "--out", "x"), "there is drop, duplicate"),
        (("softflowd", "--fault", "drop=x", "--out", "x"), "write drop=5"),
        (("softflowd", "--rate", "5", "--out", "x"), "--rate is for --to"),
        ((CORPUS / "recorded" / "vlan", "--out", "x"), "say what befalls it"),
        (("softflowd", "--out", "x.pcap.gz"), "x.pcap.gz as a .gz file cannot be written"),
        (("softflowd", "--out", "x.pcapng"), "x.pcapng as a .pcapng file cannot be written"),
        (("softflowd", "--out", "-"), "standard output cannot be written; say a folder"),
        (("softflowd", "--out", DOCUMENT), "is no folder"),
    ],
)
def test_what_is_wrong_with_the_command_is_said(arguments, told):
    ran = run(*arguments)
    assert ran.exit_code == 2
    assert told in ran.output
