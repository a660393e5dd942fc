"""Files are hostile: every damage is a FormatError of one line, and a write is whole or not at all."""

from __future__ import annotations

import copy
import json
import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gilprobe.errors import FormatError
from gilprobe.model import codec
from gilprobe.report import Report
from gilprobe.results import ResultSet

pytestmark = pytest.mark.plain_python


def paths_in(document, path=()):
    """Yield the path of every value in a document."""
    yield path
    children = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document if isinstance(document, list) else ())
    )
    for key, value in children:
        yield from paths_in(value, (*path, key))


def put(document, path, value):
    damaged = copy.deepcopy(document)
    inner = damaged
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return damaged


@pytest.mark.parametrize("odd", [None, [], {}, "x", True, -(10**30), 10**400, 1.5, [[[]]], {"a": 1}])
def test_any_value_of_a_wrong_type_is_refused_or_means_the_same(report, odd):
    """Whatever stands in whatever place: a FormatError or a report, never another exception."""
    document = json.loads(json.dumps(report.to_dict()))
    messages = []
    for path in list(paths_in(document))[1:]:
        try:
            Report.from_dict(put(document, path, odd))
        except FormatError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert all(message.isprintable() and len(message) < 250 for message in messages)


def test_every_key_is_needed_and_no_other_is_known(report):
    document = json.loads(json.dumps(report.to_dict()))
    for path in list(paths_in(document))[1:]:
        if isinstance(path[-1], str):
            damaged = copy.deepcopy(document)
            inner = damaged
            for key in path[:-1]:
                inner = inner[key]
            del inner[path[-1]]
            with pytest.raises(FormatError):
                Report.from_dict(damaged)
    with pytest.raises(FormatError, match="unknown key 'extra'"):
        Report.from_dict(document | {"extra": 1})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(share=st.floats(0, 0.9999))
def test_a_truncated_file_is_refused(report, tmp_path, share):
    whole = json.dumps(report.to_dict())
    (tmp_path / "r.json").write_text(whole[: int(len(whole) * share)])
    with pytest.raises(FormatError):
        Report.load(tmp_path / "r.json")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(content=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(tmp_path, content):
    (tmp_path / "r.json").write_bytes(content)
    for kind in (Report, ResultSet):
        with pytest.raises(FormatError):
            kind.load(tmp_path / "r.json")


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "1" + "0" * 400, "-1" + "0" * 400]
)
def test_a_number_that_is_none_is_refused(report, tmp_path, number):
    document = report.to_dict()
    for place in ("elapsed_ns", "environment"):
        damaged = copy.deepcopy(document)
        if place == "environment":
            damaged["environment"]["load_average"] = 424242
        else:
            damaged[place] = 424242
        (tmp_path / "r.json").write_text(json.dumps(damaged).replace("424242", number))
        with pytest.raises(FormatError):
            Report.load(tmp_path / "r.json")


@pytest.mark.parametrize("depth", [100, 900, 2_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused(report, tmp_path, depth, opening, closing):
    nested = opening * depth + "1" + closing * depth
    (tmp_path / "r.json").write_text(nested)
    with pytest.raises(FormatError):
        Report.load(tmp_path / "r.json")
    document = json.dumps(report.to_dict() | {"threads": 424242})
    (tmp_path / "r.json").write_text(document.replace("424242", nested))
    with pytest.raises(FormatError):
        Report.load(tmp_path / "r.json")


def test_names_from_a_file_are_escaped_in_the_message(report):
    with pytest.raises(FormatError) as caught:
        Report.from_dict(report.to_dict() | {"\x1b[31m\n" + "x" * 1000: 1})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 120


def test_a_saved_file_is_its_owners_only(report, tmp_path):
    report.save(tmp_path / "r.json")
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == 0o600
    (tmp_path / "r.json").chmod(0o644)
    report.save(tmp_path / "r.json")
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_failed_write_leaves_the_earlier_file_and_no_litter(tmp_path):
    target = tmp_path / "r.json"
    target.write_text("earlier")
    with pytest.raises(TypeError):
        codec.write_json(target, {"a": object()})
    assert target.read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_link_is_replaced_and_what_it_pointed_to_is_left_alone(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "r.json").symlink_to(tmp_path / "precious")
    codec.write_json(tmp_path / "r.json", [1])
    assert (tmp_path / "precious").read_text() == "precious"
    assert codec.read_json(tmp_path / "r.json") == [1]


def test_a_place_that_cant_be_written_is_an_os_error(report, tmp_path):
    for target in (tmp_path / "none" / "r.json", tmp_path):
        with pytest.raises(OSError, match=r"r\.json|directory"):
            report.save(target)


def test_a_device_can_be_written_to():
    codec.write_json(os.devnull, [1])
    assert not os.path.isfile(os.devnull)  # noqa: PTH113


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Report.load(tmp_path / "none.json")


def test_a_key_that_comes_twice_is_refused(report, tmp_path):
    text = json.dumps(report.to_dict())
    (tmp_path / "r.json").write_text(text.replace('"handoffs":', '"handoffs": 0, "handoffs":'))
    with pytest.raises(FormatError, match="the key 'handoffs' must come once"):
        Report.load(tmp_path / "r.json")


def test_a_report_is_written_piece_by_piece_as_json_would_write_it(report):
    assert "".join(report.pieces()) == json.dumps(report.to_dict(), indent=1) + "\n"
    assert max(map(len, report.pieces())) < len(json.dumps(report.to_dict()))
