"""Units of work: plain data in, plain data out, the same points as the engine's own."""

import io
import json
import os

import pytest

import sample_models
from analysis import units, work
from analysis.importance import score
from analysis.live import Gauge
from analysis.pruning.plan import make_plan
from analysis.sensitivity import sweep as sweep_points
from analysis.units import sweep

NETWORK = "digits-mlp"


@pytest.fixture
def serve():
    """Serve a request and return the exit code with the replies, read back from JSON."""

    def run(request):
        reading, writing = os.pipe()
        with os.fdopen(reading) as requests, os.fdopen(writing, "w") as asker:
            asker.write(json.dumps(request) + "\n")
            asker.flush()
            replies = io.StringIO()
            code = work.serve(sample_models.load, requests, replies)
        return code, [json.loads(line) for line in replies.getvalue().splitlines()]

    return run


def request(criterion="l1", **changed):
    return sweep.request(NETWORK, 450, criterion, "channel") | changed


def results(replies):
    return [reply["result"] for reply in replies if "result" in reply]


def test_points_are_those_of_a_sweep_and_shares_rise_to_one(serve):
    code, replies = serve(request())
    sample = sample_models.load(NETWORK)
    gauge = Gauge(sample.network, sample.dataset.evaluation.sample(450), sample.dataset.task)
    expected = list(sweep_points(gauge, score(sample.network, "l1"), "channel"))
    found = [sweep.from_data(part) for part in results(replies)]
    assert code == 0
    assert [(p.target, p.ratio) for p in found] == [(p.target, p.ratio) for p in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.quality.value == pytest.approx(theirs.quality.value, abs=0.02)
    shares = [reply["share"] for reply in replies if "share" in reply]
    assert shares == sorted(shares) and shares[-1] == 1


def test_known_points_are_not_measured_again(serve):
    _, replies = serve(request())
    points = results(replies)
    left_out = points[3]
    _, again = serve(units.with_known(request(), [p for p in points if p != left_out]))
    assert [(p["target"], p["ratio"]) for p in results(again)] == [(left_out["target"], left_out["ratio"])]


def test_a_digest_tells_requests_apart_but_not_what_is_known():
    plain = request()
    assert units.digest(units.with_known(plain, [{"a": 1}])) == units.digest(plain)
    others = [request(criterion="l2"), request(images=9), request(network="x"), request(plan="{}")]
    assert len({units.digest(r) for r in (plain, *others)}) == 5


def test_a_case_holds_the_network_of_its_plan():
    network = sample_models.load(NETWORK).network
    plan = make_plan(network, "taylor", "channel", {network.groups[0].name: 0.5})
    case = units.open_case(sample_models.load, units.make_request("sweep", NETWORK, 100, plan=plan))
    assert case.plan == plan and len(case.split) == 100
    assert case.pruned.layer(network.groups[0].name).shape[0] == network.groups[0].size // 2
    dense = units.open_case(sample_models.load, units.make_request("sweep", NETWORK, 100))
    assert dense.plan.is_dense and dense.scores is None and dense.pruned is dense.network


def test_findings_of_another_version_are_not_found(monkeypatch):
    now = units.digest(request())
    monkeypatch.setattr(units, "VERSION", units.VERSION + 1)
    assert units.digest(request()) != now


def test_what_two_workers_found_counts_once(serve):
    _, replies = serve(request())
    found = results(replies)
    assert units.once("sweep", [*found, *reversed(found)]) == found


def test_what_a_network_prints_is_no_reply(serve, monkeypatch, capsys):
    sample = sample_models.load

    def chatty(name):
        print("building")
        return sample(name)

    monkeypatch.setattr(sample_models, "load", chatty)
    code, replies = serve(request())
    assert code == 0 and results(replies), "every line was JSON"
    assert "building" in capsys.readouterr().err


def test_every_unit_can_be_imported():
    assert all(callable(units.find_unit(kind)) for kind in units.UNITS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "dance"}, "no work called 'dance'"),
        ({"network": "nothing"}, "no sample network 'nothing'"),
        ({"criterion": "beauty"}, "no criterion 'beauty'"),
    ],
)
def test_what_cannot_be_done_is_said(serve, changed, message):
    code, replies = serve(request(**changed))
    assert code == 2
    assert message in replies[-1]["error"]
