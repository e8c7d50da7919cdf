"""What each repair brings: the methods' own results measured once more, chains, seconds, refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.measure.quality import evaluate, headline, headline_change
from analysis.network import Network
from analysis.recovery.registry import CHAINS, METHODS
from analysis.recovery.repairs import Gain, repairs
from tests.networks import ConvNet, Mlp, load, randomise, split
from tests.recovery.mending import group_of, noise, on_its_way


def no_progress(_share: float) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def case():
    network = load(randomise(ConvNet(outputs=1)), (2, 5, 5))
    pruned = on_its_way(network, noise(80, 2, 5, 5), channels={group_of(network, "conv1"): (0, 3)})
    return pruned, split((2, 5, 5), 1, 40, task=pruned.task, seed=9)


def same(one: Network, other: Network) -> bool:
    mine, theirs = one.module.state_dict(), other.module.state_dict()
    return all(bool((mine[key] == theirs[key]).all()) for key in mine)


def test_each_method_and_chain_is_measured_against_the_pruned_network(case):
    pruned, examples = case
    found = list(repairs(pruned, examples))
    assert [gain.methods for gain, _ in found] == list(CHAINS)
    before = evaluate(pruned.network, examples, pruned.task)
    for gain, network in found:
        expected = pruned
        for name in gain.methods:
            expected = replace(expected, network=METHODS[name].run(expected, no_progress).network)
        assert same(network, expected.network), gain.methods
        after = evaluate(expected.network, examples, pruned.task)
        assert gain.quality == headline(after) and gain.change == headline_change(after, before)
        assert len(gain.times) == len(gain.methods) and gain.seconds == sum(gain.times) > 0
        assert gain.per_second == gain.change.value / gain.seconds


def test_a_chain_begins_with_what_was_done_already(case, monkeypatch):
    """Each method runs once alone, and once behind each of the others that it follows."""
    pruned, examples = case
    ran: list[str] = []
    for name, method in METHODS.items():

        def run(given, progress, name=name, method=method):
            ran.append(name)
            return method.run(given, progress)

        monkeypatch.setitem(METHODS, name, replace(method, run=run))
    list(repairs(pruned, examples))
    assert sorted(ran) == sorted([*METHODS, *(["recalibration"] * 3)])


def test_known_chains_are_left_out_and_progress_ends_at_one(case):
    pruned, examples = case
    said: list[float] = []
    known = list(CHAINS[:-1])
    found = list(repairs(pruned, examples, known=known, progress=said.append))
    assert [gain.methods for gain, _ in found] == [CHAINS[-1]]
    assert said == sorted(said) and said[-1] == 1
    assert list(repairs(pruned, examples, known=CHAINS)) == []


def test_a_method_that_does_not_apply_says_why_and_its_chains_say_nothing():
    network = load(randomise(Mlp(outputs=1)), (5,))
    pruned = on_its_way(network, noise(60, 5), weights={"head": noise(1, 6) > 0})
    found = {
        gain.methods: (gain, made) for gain, made in repairs(pruned, split((5,), 1, 30, task=pruned.task))
    }
    assert list(found) == [(name,) for name in METHODS]
    for name, word in (("recalibration", "no BatchNorm"), ("merging", "removes no channel")):
        gain, made = found[name,]
        assert word in gain.reason and made is None
        assert gain == Gain((name,), reason=gain.reason) and gain.per_second == 0
