"""Units of work: plain data in, plain data out, the same points as the engine's own."""

import io
import json
import os
import threading

import pytest

import sample_models
from analysis import work
from analysis.importance import score
from analysis.live import Gauge
from analysis.sensitivity import sweep

NETWORK = "digits-mlp"


@pytest.fixture
def serve(monkeypatch):
    """Serve a request and return the exit code with the replies, read back from JSON."""
    monkeypatch.setattr(os, "nice", lambda step: 0)

    def run(request):
        reading, writing = os.pipe()
        with os.fdopen(reading) as requests, os.fdopen(writing, "w") as asker:
            asker.write(json.dumps(request) + "\n")
            asker.flush()
            replies = io.StringIO()
            monkeypatch.setattr(work, "_leave_with_parent", lambda requests: threading.Event().wait(0))
            code = work.serve(sample_models.load, requests, replies)
        return code, [json.loads(line) for line in replies.getvalue().splitlines()]

    return run


def request(**changed):
    made = work.sensitivity_request(NETWORK, 450, "l1", "channel")
    return made | changed


def test_points_are_those_of_a_sweep_and_shares_rise_to_one(serve):
    code, replies = serve(request())
    sample = sample_models.load(NETWORK)
    gauge = Gauge(sample.network, sample.dataset.evaluation.sample(450), sample.dataset.task)
    expected = list(sweep(gauge, score(sample.network, "l1"), "channel"))
    found = [work.point_from_data(reply["result"]) for reply in replies]
    assert code == 0
    assert [(p.target, p.ratio) for p in found] == [(p.target, p.ratio) for p in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.quality.value == pytest.approx(theirs.quality.value, abs=0.02)
    shares = [reply["share"] for reply in replies]
    assert shares == sorted(shares) and shares[-1] == 1


def test_known_points_are_not_measured_again(serve):
    _, replies = serve(request())
    points = [work.point_from_data(reply["result"]) for reply in replies]
    left_out = points[3]
    _, again = serve(work.with_known(request(), [p for p in points if p != left_out]))
    assert [(r["result"]["target"], r["result"]["ratio"]) for r in again] == [
        (left_out.target, left_out.ratio)
    ]


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
