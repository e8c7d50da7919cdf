"""The store gives back what it was given, to whoever asks, also after a crash."""

import math
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import torch

from analysis.datasets import Split
from analysis.history import Label, Trial
from analysis.measure import measure
from analysis.measure.quality import Interval
from analysis.pruning.plan import repick, uniform_plan
from analysis.pruning.prune import prune
from analysis.sensitivity import Sensitivity
from analysis.store import Store, StoreError, subject
from analysis.tasks import CLASSIFICATION
from tests.networks import ConvNet, load, randomise, split


@pytest.fixture
def store(url):
    opened = Store(url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def net():
    return load(randomise(ConvNet()), (2, 5, 5))


@pytest.fixture(scope="module")
def some(net):
    """Three trials, the first dense."""
    data = split((2, 5, 5), 4, 40)
    dense = measure(net, data, CLASSIFICATION)
    made = [Trial(uniform_plan(net, "l1", "channel", 0.0), dense.numbers())]
    for ratio in (0.3, 0.6):
        plan = uniform_plan(net, "l1", "channel", ratio)
        measured = measure(prune(net, plan), data, CLASSIFICATION, dense=dense)
        made.append(Trial(plan, measured.numbers(), made[-1].plan))
    return made


def content(trial):
    numbers = trial.measurement
    return (
        trial.plan, trial.parent, dict(numbers.quality), dict(numbers.change), numbers.cost, numbers.size,
        numbers.latency, numbers.dense_latency, numbers.headline,
    )  # fmt: skip


def test_trials_come_back_as_they_were(store, url, some):
    ids = [store.add_trial("me", 40, trial) for trial in some]
    found = Store(url).trials("me", ids)
    assert [content(found[number]) for number in ids] == [content(t) for t in some]
    assert content(Store(url).trial("me", ids[1])) == content(some[1])


def test_the_first_of_equal_plans_stays(store, some):
    first = store.add_trial("me", 40, some[1])
    later = Trial(some[1].plan, some[2].measurement, some[2].plan)
    assert store.add_trial("me", 40, later) == first
    assert content(store.trial("me", first)) == content(some[1])


def test_a_summary_says_what_the_trial_holds(store, some):
    for trial in some:
        store.add_trial("me", 40, trial)
    dense, *pruned = found = store.summaries("me", some[0].plan.network)
    assert dense.is_dense and dense.granularity == dense.parent == "" and dense.change is None
    assert [trial.key for trial in found[:-1]] == [trial.parent for trial in found[1:]]
    for trial, summary in zip(some, found, strict=True):
        numbers = trial.measurement
        assert summary.headline == numbers.headline
        assert summary.layers == tuple(numbers.cost.layer_nonzero.values())
        assert sum(summary.layers) == summary.nonzero_connections == numbers.cost.nonzero_connections
        assert (summary.parameters, summary.macs) == (numbers.cost.parameters, numbers.cost.macs)
        assert (summary.saved, summary.best) == (numbers.size.saved, numbers.size.best)
        assert (summary.latency, summary.images) == (numbers.latency.median, 40)
        assert summary.label == Label() and not summary.is_recovered
    for trial, summary in zip(some[1:], pruned, strict=True):
        assert summary.change == trial.measurement.change["accuracy"]
        assert (summary.granularity, summary.criterion) == ("channel", "l1")


def test_a_plan_without_cuts_ranks_nothing_and_is_listed_without_a_criterion(store, net, some):
    plan = some[0].plan
    picked = repick(plan, net, next(g.name for g in net.groups if g.is_prunable), 0, True)
    for trial in (some[0], replace(some[1], plan=picked)):
        store.add_trial("me", 40, trial)
    assert [(t.criterion, t.granularity) for t in store.summaries("me", plan.network)] == [
        ("", ""),
        ("", "channel"),
    ]


def test_a_number_that_is_unknown_stays_unknown(store, some):
    unknown = replace(some[1].measurement, quality={"r2": Interval(math.nan, math.nan, math.nan)})
    store.add_trial("me", 40, Trial(some[1].plan, unknown, None))
    (found,) = store.summaries("me", some[1].plan.network)
    assert math.isnan(found.headline.value) and not found.is_dense


def test_a_list_that_was_read_before_shows_what_others_did_since(store, url, some):
    name, other = some[1].plan.network, Store(url)
    first = store.add_trial("me", 40, some[1])
    assert [t.id for t in store.summaries("me", name)] == [first]
    second = other.add_trial("me", 40, some[2])
    other.put_label("me", first, Label("renamed elsewhere"))
    assert [(t.id, t.label.name) for t in store.summaries("me", name)] == [
        (first, "renamed elsewhere"),
        (second, ""),
    ]
    assert store.summaries("me", name) == other.summaries("me", name)


def test_labels_are_kept_and_are_their_own_sessions(store, url, some):
    number = store.add_trial("me", 40, some[1])
    label = Label("the best; DROP TABLE", "ünder\n2 ms", True, ("edge", "a, b", "n\0l"))
    store.put_label("you", number, Label("stolen"))
    assert store.summaries("me", some[1].plan.network)[0].label == Label()
    store.put_label("me", number, label)
    store.add_trial("me", 40, some[1])
    assert Store(url).summaries("me", some[1].plan.network)[0].label == label
    store.put_label("me", number, Label("a\0b"))
    assert store.summaries("me", some[1].plan.network)[0].label == Label("ab")


def test_sessions_networks_and_example_counts_are_apart(store, some):
    name = some[1].plan.network
    first = store.add_trial("me", 40, some[1])
    second = store.add_trial("me", 80, some[1])
    third = store.add_trial("you", 40, some[2])
    assert [(t.id, t.images) for t in store.summaries("me", name)] == [(first, 40), (second, 80)]
    assert [t.id for t in store.summaries("you", name)] == [third]
    assert store.summaries("me", "another") == store.summaries("nobody", name) == []
    assert store.find("me", 40, some[1].plan) == first
    assert store.find("me", 40, some[2].plan) is None
    assert list(store.trials("me", [first, third])) == [first]
    with pytest.raises(StoreError, match=f"no trial {third}"):
        store.trial("me", third)


def test_the_plan_in_force_is_the_last_one_put(store, url, some):
    name = some[1].plan.network
    assert store.plan("me", name) is None
    for trial in (some[1], some[2], some[1]):
        store.put_plan("me", trial.plan)
    assert Store(url).plan("me", name) == some[1].plan
    assert store.plan("you", name) is None


def test_points_are_shared_by_all_on_the_same_weights_data_and_criterion(store, net):
    data = split((2, 5, 5), 4, 40)
    about = subject(net, data, "l1", "channel")
    first = Sensitivity("conv1", 0.3, Interval(0.5, 0.4, 0.6), 40)
    better = Sensitivity("conv1", 0.3, Interval(0.52, 0.52, 0.52), 80)
    other = Sensitivity("conv1", 0.5, Interval(0.1, 0.0, 0.2), 40)
    for point in (other, first, better):
        store.add_sensitivity(about, point)
    again = subject(load(randomise(ConvNet()), (2, 5, 5)), split((2, 5, 5), 4, 40), "l1", "channel")
    assert store.sensitivities(again) == [better, other]


def test_a_point_whose_quality_is_unknown_stays_unknown(store, net):
    about = subject(net, split((2, 5, 5), 4, 40), "l1", "channel")
    store.add_sensitivity(about, Sensitivity("conv1", 0.5, Interval(math.nan, math.nan, math.nan), 40))
    (found,) = store.sensitivities(about)
    assert math.isnan(found.quality.value) and math.isnan(found.quality.low)


def test_anything_else_is_another_subject(net):
    data = split((2, 5, 5), 4, 40)
    moved = randomise(ConvNet())
    with torch.no_grad():
        weight = moved.conv1.weight.view(-1)
        weight[0] = torch.nextafter(weight[0], torch.tensor(9.0))
    relabelled = Split(data.inputs, data.targets.roll(1), data.origin)
    subjects = [
        subject(net, data, "l1", "channel"),
        subject(load(moved, (2, 5, 5)), data, "l1", "channel"),
        subject(net, relabelled, "l1", "channel"),
        subject(net, data, "l2", "channel"),
        subject(net, data, "l1", "weight"),
    ]
    assert len({about.key for about in subjects}) == len(subjects)


def test_findings_come_back_in_order_and_only_to_what_they_are_about(store):
    store.add_findings("a", [{"n": 2, "text": "é"}, {"n": 1}])
    store.add_findings("b", [{"n": 3}])
    store.add_findings("a", [{"n": 0}])
    assert store.findings("a") == [{"n": 2, "text": "é"}, {"n": 1}, {"n": 0}]
    assert store.findings("b") == [{"n": 3}] and store.findings("c") == []


def test_the_oldest_findings_make_room(store, monkeypatch):
    monkeypatch.setattr("analysis.store.store._FINDINGS_KEPT", 3)
    for n in range(5):
        store.add_findings("a" if n < 3 else "b", [{"n": n}])
    assert [part["n"] for about in "ab" for part in store.findings(about)] == [2, 3, 4]


def test_a_damaged_finding_is_left_out(store):
    store.add_findings("a", [{"n": 1}, {"n": 2}])
    with store._database.writing() as connection:
        connection.exec_driver_sql("UPDATE findings SET content = '{' WHERE id = 1")
    assert store.findings("a") == [{"n": 2}]


def test_many_threads_lose_nothing(store, net, some):
    about = subject(net, split((2, 5, 5), 4, 40), "l1", "channel")
    failures = []

    def write(number):
        try:
            for i in range(12):
                store.add_sensitivity(about, Sensitivity(f"t{number}", i / 12, Interval(0.5, 0.4, 0.6), 40))
                store.put_plan("me", some[1 + i % 2].plan)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(store.sensitivities(about)) == 72


def test_what_a_killed_process_wrote_is_there(url, net):
    about = subject(net, split((2, 5, 5), 4, 40), "l1", "channel")
    program = f"""
import sys, time
from analysis.measure.quality import Interval
from analysis.sensitivity import Sensitivity
from analysis.store import Store, Subject
store, about = Store({url!r}), Subject({about.weights!r}, {about.data!r}, "l1", "channel")
for i in range(1000):
    store.add_sensitivity(about, Sensitivity("a", i / 1000, Interval(0.5, 0.4, 0.6), 40))
    print(i, flush=True)
"""
    writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    for line in writer.stdout:
        if int(line) >= 5:
            writer.kill()
            break
    written = 1 + max([int(line), *(int(rest) for rest in writer.stdout if rest.strip().isdigit())])
    writer.wait()
    assert len(Store(url).sensitivities(about)) >= written >= 6


@pytest.mark.parametrize(
    "bad",
    [
        "nonsense",
        "sqlite:////proc/nowhere/a.db",
        "postgresql+psycopg://me:secret@127.0.0.1:1/x",
        "postgresql+nothing://me:secret@localhost/x",
        "mysql://me:secret@localhost/x",
    ],
)
def test_a_database_that_cannot_be_used_is_named_with_the_remedy_and_no_password(bad):
    with pytest.raises(StoreError, match="PRUNESCOPE_DATABASE_URL") as caught:
        Store(bad)
    assert "secret" not in str(caught.value)
