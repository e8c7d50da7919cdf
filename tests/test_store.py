"""The store gives back what it was given, to whoever asks, also after a crash."""

import subprocess
import sys
import threading

import pytest
import torch

from analysis.datasets import Split
from analysis.history import Trial
from analysis.measure import measure
from analysis.measure.quality import Interval
from analysis.pruning.plan import uniform_plan
from analysis.pruning.prune import prune
from analysis.sensitivity import Sensitivity
from analysis.store import Store, StoreError, subject
from analysis.tasks import CLASSIFICATION
from tests.networks import ConvNet, load, randomise, split


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'folder' / 'history.sqlite'}"


@pytest.fixture
def store(url):
    return Store(url)


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


def test_trials_come_back_as_they_were_oldest_first(store, url, some):
    for trial in some:
        store.add_trial("me", 40, trial)
    store.add_trial("me", 40, some[1])
    found = Store(url).trials("me", some[0].plan.network)
    assert [images for images, _ in found] == [40, 40, 40]
    assert [content(t) for _, t in found] == [content(t) for t in some]


def test_sessions_networks_and_example_counts_are_apart(store, some):
    name = some[1].plan.network
    store.add_trial("me", 40, some[1])
    store.add_trial("me", 80, some[1])
    store.add_trial("you", 40, some[2])
    assert [(i, t.plan) for i, t in store.trials("me", name)] == [(40, some[1].plan), (80, some[1].plan)]
    assert [t.plan for _, t in store.trials("you", name)] == [some[2].plan]
    assert store.trials("me", "another") == store.trials("nobody", name) == []


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
    monkeypatch.setattr("analysis.store._FINDINGS_KEPT", 3)
    for n in range(5):
        store.add_findings("a" if n < 3 else "b", [{"n": n}])
    assert [part["n"] for about in "ab" for part in store.findings(about)] == [2, 3, 4]


def test_a_damaged_finding_is_left_out(store):
    store.add_findings("a", [{"n": 1}, {"n": 2}])
    with store._engine.begin() as connection:
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
    "bad", ["nonsense", "sqlite:////proc/nowhere/a.db", "postgresql://me:secret@localhost/x"]
)
def test_a_database_that_cannot_be_used_is_named_with_the_remedy_and_no_password(bad):
    with pytest.raises(StoreError, match="PRUNESCOPE_DATABASE_URL") as caught:
        Store(bad)
    assert "secret" not in str(caught.value)
