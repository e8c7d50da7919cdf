"""What all recovery without training holds to, on every network of the zoo."""

from __future__ import annotations

import copy

import pytest
import torch

from analysis.errors import PrunescopeError
from analysis.recovery import lockstep
from analysis.recovery.compensate import compensate
from analysis.recovery.lockstep import some_inputs
from analysis.recovery.merge import merge
from analysis.recovery.pruned import locks
from analysis.recovery.recalibrate import recalibrate
from analysis.recovery.reconstruct import reconstruct
from analysis.recovery.recovered import recovered_from, restore
from tests.networks import ConvNet, Mlp, load, randomise, same, snapshot
from tests.recovery.mending import group_of, heard, noise, on_its_way
from tests.recovery.test_recovered import case
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module

METHODS = (recalibrate, compensate, merge, reconstruct)


def zoo_case(name):
    network = from_module(name)
    selection, changed = case(network)
    inputs = BY_NAME[name].inputs(24)
    return on_its_way(network, inputs, channels=selection.channels, weights=selection.weights, pruned=changed)


@pytest.mark.parametrize("name", list(BY_NAME))
def test_every_network_is_mended_or_refused_in_words_and_nothing_given_is_changed(name):
    """Masks stay zero, the weights fit the pruned network's places, and what is left says why."""
    pruned = zoo_case(name)
    dense, before = snapshot(pruned.dense.module), snapshot(pruned.network.module)
    inputs = pruned.fit.inputs.clone()
    locked = locks(pruned.dense, pruned.selection)
    for method in METHODS:
        said: list[float] = []
        try:
            found = method(pruned, progress=said.append)
        except PrunescopeError as error:
            assert str(error).endswith(".")
        else:
            state = found.network.module.state_dict()
            assert {k: v.shape for k, v in state.items()} == {
                k: v.shape for k, v in pruned.network.module.state_dict().items()
            }
            for key, mask in locked.items():
                old = pruned.network.module.state_dict()[key]
                assert bool((state[key][mask] == old[mask]).all()), (
                    f"{method.__name__} changed locked weights of {key}"
                )
            with torch.no_grad():
                answer = found.network.module(inputs[:2])
            assert bool(torch.isfinite(answer).all())
            back = restore(pruned.dense, recovered_from(found.network, pruned.selection))
            with torch.no_grad():
                assert torch.allclose(back.module(inputs[:2]), answer, atol=1e-5)
            assert set(found.layers) <= set(pruned.network.module.state_dict()) | {
                key.rpartition(".")[0] for key in state
            }
            assert all(found.left.values()) and said == sorted(said) and said[-1] == 1
    assert same(dense, snapshot(pruned.dense.module)) and same(before, snapshot(pruned.network.module))
    assert torch.equal(inputs, pruned.fit.inputs)


@pytest.mark.parametrize("method", [compensate, reconstruct])
@pytest.mark.parametrize("name", list(BY_NAME))
def test_a_network_from_which_nothing_was_removed_stays_bit_for_bit(name, method):
    network = from_module(name)
    found = method(on_its_way(network, BY_NAME[name].inputs(12), pruned=network))
    assert found.network is network and not found.layers and not found.left


def test_layers_that_are_not_changed_are_shared():
    network = load(randomise(Mlp()), (5,))
    pruned = on_its_way(network, noise(40, 5), channels={group_of(network, "fc2"): (1, 4)})
    for method in (compensate, merge, reconstruct):
        found = method(pruned).network.module
        for name in ("fc1", "fc2"):
            assert found.get_submodule(name) is pruned.network.module.get_submodule(name)
        assert found.get_submodule("head") is not pruned.network.module.get_submodule("head")


@pytest.mark.parametrize("method", METHODS)
def test_the_same_call_gives_the_same_weights(method):
    network = load(randomise(ConvNet()), (2, 5, 5))
    pruned = on_its_way(network, noise(300, 2, 5, 5), channels={group_of(network, "conv1"): (0, 3)})
    one, other = (method(pruned).network.module.state_dict() for _ in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("method", METHODS)
def test_validation_and_evaluation_examples_are_not_looked_at(method):
    network = load(randomise(ConvNet()), (2, 5, 5))
    pruned = on_its_way(network, noise(60, 2, 5, 5), channels={group_of(network, "conv1"): (0, 3)})
    found = method(pruned).network.module.state_dict()
    poisoned = copy.copy(pruned)
    poison = torch.full_like(pruned.validation.inputs, torch.nan)
    object.__setattr__(
        poisoned, "validation", type(pruned.validation)(poison, pruned.validation.targets, "poison")
    )
    object.__setattr__(poisoned, "dataset", None)
    again = method(poisoned).network.module.state_dict()
    assert all(torch.equal(found[key], again[key]) for key in found)


def test_a_layer_is_mended_behind_those_before_it():
    """The second layer's mean is right although the first one's answers have changed on the way."""
    network = load(randomise(Mlp()), (5,))
    channels = {group_of(network, "fc1"): (0, 2), group_of(network, "fc2"): (1,)}
    pruned = on_its_way(network, noise(60, 5), channels=channels)
    found = compensate(pruned).network
    wanted, answered = (heard(n, pruned.fit.inputs)["head"][1] for n in (network, found))
    assert torch.allclose(wanted.mean(0), answered.mean(0), atol=1e-5)


def test_examples_are_as_many_as_asked_for_and_as_memory_allows(monkeypatch):
    """The largest activation of the network holds 8 x 5 x 5 values an example."""
    network = load(randomise(ConvNet()), (2, 5, 5))
    pruned = on_its_way(network, noise(100, 2, 5, 5), channels={group_of(network, "conv1"): (0,)})
    assert len(some_inputs(pruned, 40)) == 40 and len(some_inputs(pruned, 1000)) == len(pruned.fit)
    monkeypatch.setattr(lockstep, "_ROOM", 30 * 200)
    assert torch.equal(some_inputs(pruned, 1000), pruned.fit.inputs[:30])
    monkeypatch.setattr(lockstep, "_ROOM", 0)
    assert len(some_inputs(pruned, 1000)) == 8
