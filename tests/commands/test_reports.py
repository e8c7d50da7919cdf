"""``python -m analysis report`` and ``compare``: the same numbers as ``measure`` finds, on a page and side by side."""

import json

import pytest

import sample_models
from analysis.pruning.plan import uniform_plan
from analysis.pruning.plan_json import to_json
from tests.report.reading import Reader, value


@pytest.fixture
def plan_files(tmp_path):
    """Plans of digits-cnn, as files: half of all channels, a fifth of them, nothing."""
    network = sample_models.load("digits-cnn").network
    paths = []
    for name, ratio in (("half", 0.5), ("fifth", 0.2), ("nothing", 0.0)):
        path = tmp_path / f"{name}.json"
        path.write_text(to_json(uniform_plan(network, "l1", "channel", ratio)))
        paths.append(path)
    return paths


def test_a_report_holds_what_measure_prints(report, plan_files, tmp_path):
    page = tmp_path / "report.html"
    found = report(
        "report", "digits-cnn", "--plan", plan_files[0], "--name", "<Half>", "--note", "why & how", "-o", page
    )
    same = report("measure", "digits-cnn", "--plan", plan_files[0])
    for key in ("quality", "change", "parameters", "macs", "bytes", "best_encoding", "layers", "plan"):
        assert found[key] == same[key]
    assert found["file"] == str(page) and found["file_bytes"] == page.stat().st_size
    read = Reader(page.read_text())
    assert "digits-cnn: <Half>" in read.said and "why & how" in read.said
    assert value(read.row("Quality", "Accuracy")[2]) == pytest.approx(
        same["quality"]["accuracy"]["value"], abs=6e-4
    )
    assert int(value(read.row("Cost", "MACs")[2])) == same["macs"]


@pytest.mark.parametrize("source", ["auto-mpg-mlp", "digits-cnn"])
def test_a_ratio_everywhere_will_do_and_nothing_removed_too(call, tmp_path, source):
    for ratio in (0.3, 0):
        code, out, err = call("report", source, "--all", ratio, "-o", tmp_path / "r.html")
        assert code == 0, err
        assert out.startswith(source) and "saved" in out
        assert ("nothing is removed" in Reader((tmp_path / "r.html").read_text()).text) == (ratio == 0)


def test_a_report_tells_of_recovery(call, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNESCOPE_RECOVERED", str(tmp_path / "kept"))
    plan, page = tmp_path / "plan.json", tmp_path / "report.html"
    code, _, err = call(
        "recover", "digits-cnn", "--all", 0.5, "--method", "recalibration", "--save-plan", plan
    )
    assert code == 0, err
    assert call("report", "digits-cnn", "--plan", plan, "-o", page)[0] == 0
    assert Reader(page.read_text()).table("Recovery")[1][1] == "recalibration"


def test_a_comparison_holds_what_measure_prints_of_each_plan(report, plan_files):
    found = report("compare", "digits-cnn", *plan_files)
    for entry, path in zip(found["plans"], plan_files, strict=True):
        same = report("measure", "digits-cnn", "--plan", path)
        assert entry["file"] == str(path)
        for key in ("quality", "parameters", "nonzero_connections", "macs", "bytes"):
            assert entry[key] == same[key]
        assert entry["change"] == same.get("change", {})
    assert found["dense"]["quality"] == found["plans"][2]["quality"]


def test_every_two_plans_are_paired(report, plan_files):
    found = report("compare", "digits-cnn", *plan_files)
    names = [str(path) for path in plan_files]
    assert [(d["plan"], d["against"]) for d in found["differences"]] == [
        (names[1], names[0]), (names[2], names[0]), (names[2], names[1])
    ]  # fmt: skip
    assert [plan["identical"] for plan in found["plans"]] == [
        False,
        False,
        True,
    ]  # nothing is removed by the third
    assert not any(pair["identical"] for pair in found["differences"])
    quality = {entry["file"]: entry["quality"] for entry in found["plans"]}
    for pair in found["differences"]:
        for key, change in pair["change"].items():
            expected = quality[pair["plan"]][key]["value"] - quality[pair["against"]][key]["value"]
            assert change["value"] == pytest.approx(expected, abs=1e-6)
            assert change["low"] <= change["value"] <= change["high"]
    back = found["plans"][0]["change"][
        "accuracy"
    ]  # against nothing removed: the change against dense, turned round
    assert found["differences"][1]["change"]["accuracy"]["value"] == pytest.approx(-back["value"])


def test_the_comparison_for_people_has_a_column_for_each_plan(call, plan_files, tmp_path):
    page = tmp_path / "both.html"
    code, text, err = call("compare", "digits-cnn", plan_files[0], plan_files[1], plan_files[0], "-o", page)
    assert code == 0, err
    lines = [line.split() for line in text.splitlines()]
    assert ["A", "=", str(plan_files[0])] in lines and ["dense", "A", "B", "C"] in lines
    macs = next(line for line in lines if line[:1] == ["MACs"])
    assert macs[2] == macs[4] != macs[3]
    at = lines.index(["C", "against", "A,", "on", "the", "same", "examples:", "identical", "answers"])
    assert "against" in lines[at + 1]  # no interval around no difference
    assert lines[lines.index(["B", "against", "A,", "on", "the", "same", "examples"]) + 1][0] == "accuracy"
    assert f"note: A and C are the same plan ({plan_files[0]}, {plan_files[0]})" in err.splitlines()
    assert err.count("note:") == 1
    assert f"saved {page}" in text and Reader(page.read_text()).table("Quality")[0] == [
        "metric",
        "dense",
        "A",
        "B",
        "C",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "digits-cnn", "--all", "0.5"], ["-o"]),
        (["report", "digits-cnn", "-o", "r.html"], ["--plan"]),
        (["report", "digits-cnn", "--all", "0.5", "-o", "r.pdf"], [".html"]),
        (["report", "digits-cnn", "--plan", "none.json", "-o", "r.html"], ["There is no file none.json"]),
        (["report", "nobody", "--all", "0.5", "-o", "r.html"], ["'nobody'"]),
        (["compare", "digits-cnn", "none.json"], ["2 to 26 plans"]),
        (["compare", "digits-cnn", "none.json", "other.json"], ["There is no file none.json"]),
        (["compare", "digits-cnn"], ["PLAN.json"]),
        (["compare", "digits-cnn", "a.json", "b.json", "-o", "no/c.html"], ["the folder no does not exist"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bad_calls_are_refused_in_one_line(call, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments)
    last = err.splitlines()[-1]
    assert code == 2 and out == "" and last.startswith("error: ") and "Traceback" not in err
    assert all(word in last for word in words)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_of_another_network_is_refused_before_anything_is_measured(call, plan_files):
    code, _, err = call("compare", "digits-mlp", *plan_files)
    assert code == 2 and "is for the network 'digits-cnn'" in err and "measuring" not in err


def test_the_json_of_a_comparison_is_plain(call, plan_files):
    code, out, _ = call("compare", "digits-cnn", plan_files[0], plan_files[1], "--json")
    assert code == 0 and json.loads(out)["images"] == 450
