"""The loop of training: closed forms of one step, locked zeros, what is left alone, chance, stopping, going on."""

import math

import pytest
import torch
from torch import nn

from analysis.datasets import Dataset, Split
from analysis.errors import PrunescopeError
from analysis.importance.registry import score
from analysis.pruning.plan import uniform_plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import Selection, select
from analysis.recovery import training
from analysis.recovery.augmentation import Augmentation
from analysis.recovery.fine_tune import fine_tune
from analysis.recovery.learner import learner, learning_layers
from analysis.recovery.pruned import Pruned, begin, locks
from analysis.recovery.recipe import Recipe, from_data, to_data
from analysis.recovery.training import TrainingError, best_epoch, leeway, train
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from tests.networks import ConvNet, Mlp, dataset, load, randomise, same, snapshot, split
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module

OPTIMISERS = ("sgd", "adam", "adamw")
ONE_STEP = Recipe(epochs=1, learning_rate=0.1, batch=64, schedule="constant", warm_up=0.0)


def _pruned(module, shape, classes, granularity, *, ratio=0.5, task=CLASSIFICATION, count=40) -> Pruned:
    network, data = load(randomise(module), shape), dataset(shape, classes, count, task=task)
    plan = uniform_plan(network, "l1", granularity, ratio)
    scores = score(network, "l1", data)
    return begin(network, prune(network, plan, scores), select(network, plan, scores), data)


@pytest.fixture(scope="module")
def conv() -> Pruned:
    return _pruned(ConvNet(), (2, 5, 5), 4, "channel")


@pytest.fixture(scope="module")
def sparse() -> Pruned:
    return _pruned(ConvNet(), (2, 5, 5), 4, "weight", ratio=0.7)


@pytest.fixture(scope="module")
def line():
    """A linear network, (3,) to (1,), and data for it; its gradients are known in closed form."""
    network = load(randomise(nn.Sequential(nn.Linear(3, 1))), (3,), "line")
    return network, split((3,), 1, 20, task=REGRESSION), split((3,), 1, 10, task=REGRESSION, seed=7)


def _state(network):
    return {name: value.clone() for name, value in network.module.state_dict().items()}


def _equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def _gradient(network, fit):
    """Of the mean squared error, by hand: 2/N * sum (w x + b - y) x."""
    layer = network.layers[0].name
    weight, bias = network.weight(layer), network.module.get_submodule(layer).bias.detach()
    error = (fit.inputs @ weight.T + bias)[:, 0] - fit.targets
    return weight, 2 * (error[:, None] * fit.inputs).mean(dim=0, keepdim=True), bias, 2 * error.mean()


def test_one_step_of_sgd_is_the_closed_form(line):
    network, fit, validation = line
    weight, gradient, bias, slope = _gradient(network, fit)
    (epoch,) = train(network, fit, validation, REGRESSION, ONE_STEP)
    layer = network.layers[0].name
    # the first step of Nesterov's momentum: gradient + momentum * gradient
    expected = weight - 0.1 * 1.9 * gradient
    assert torch.allclose(epoch.now.weight(layer), expected, atol=1e-6)
    assert torch.allclose(epoch.now.module.get_submodule(layer).bias, bias - 0.1 * 1.9 * slope, atol=1e-6)
    assert epoch.train_loss == pytest.approx(
        float(((fit.inputs @ weight.T + bias)[:, 0] - fit.targets).square().mean()), rel=1e-5
    )
    assert epoch.rate == 0.1


@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_penalties_are_the_elastic_net_on_weights_alone(line, l1, l2):
    network, fit, validation = line
    weight, gradient, bias, slope = _gradient(network, fit)
    recipe = Recipe(epochs=1, learning_rate=0.1, schedule="constant", warm_up=0.0, momentum=0.0, l1=l1, l2=l2)
    (epoch,) = train(network, fit, validation, REGRESSION, recipe)
    layer = network.layers[0].name
    expected = weight - 0.1 * (gradient + l1 * weight.sign() + 2 * l2 * weight)
    assert torch.allclose(epoch.now.weight(layer), expected, atol=1e-6)
    assert torch.allclose(epoch.now.module.get_submodule(layer).bias, bias - 0.1 * slope, atol=1e-6)


def test_adamw_takes_its_decay_from_weights_and_adam_takes_none(line):
    network, fit, validation = line
    weight, gradient, bias, slope = _gradient(network, fit)
    layer = network.layers[0].name
    for optimiser, decay in (("adam", 0.0), ("adamw", 0.4)):
        recipe = Recipe(1, 0.1, optimiser=optimiser, schedule="constant", warm_up=0.0, decay=0.4)
        (epoch,) = train(network, fit, validation, REGRESSION, recipe)
        # Adam's first step is the learning rate along the gradient's sign
        expected = weight * (1 - 0.1 * decay) - 0.1 * gradient.sign()
        assert torch.allclose(epoch.now.weight(layer), expected, atol=1e-5)
        assert torch.allclose(
            epoch.now.module.get_submodule(layer).bias, bias - 0.1 * slope.sign(), atol=1e-5
        )


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_removed_weights_are_zero_after_every_step(sparse, optimiser, monkeypatch):
    masks = locks(sparse.dense, sparse.selection)
    seen = []
    original = training._lock

    def watched(locked):
        original(locked)
        seen.append(all(not bool(value[mask].any()) for value, mask in locked))

    monkeypatch.setattr(training, "_lock", watched)
    recipe = Recipe(3, 0.05, batch=8, optimiser=optimiser, decay=0.5, l1=0.01, l2=0.01)
    for epoch in fine_tune(sparse, recipe):
        parameters = dict(epoch.now.module.named_parameters())
        for name, mask in masks.items():
            assert mask.any()
            assert not parameters[name][mask].any()
            assert parameters[name][~mask].all()
    assert seen == [True] * 3 * 5  # 36 examples, the last 4 make a step of their own


def test_neither_the_networks_nor_the_data_are_touched(conv):
    before = snapshot(conv.dense.module), snapshot(conv.network.module)
    inputs, chance = conv.fit.inputs.clone(), torch.get_rng_state()
    recipe = Recipe(2, 0.05, batch=16, dropout=0.3, augmentation=Augmentation(shift=1, flip=True, noise=0.1))
    for epoch in fine_tune(conv, recipe):
        assert [n.target for n in epoch.now.module.graph.nodes] == [
            n.target for n in conv.network.module.graph.nodes
        ]
        assert not epoch.now.module.training
        assert all(p.is_contiguous() and not p.requires_grad for p in epoch.now.module.parameters())
    assert same(before[0], snapshot(conv.dense.module))
    assert same(before[1], snapshot(conv.network.module))
    assert torch.equal(inputs, conv.fit.inputs)
    assert torch.equal(chance, torch.get_rng_state())


def test_the_same_seed_gives_the_same_weights_and_another_does_not(conv):
    recipe = Recipe(2, 0.05, batch=8, augmentation=Augmentation(shift=1), dropout=0.2)

    def final(seed, disturb):
        states = []
        for epoch in fine_tune(
            conv, Recipe(**{**to_data(recipe), "seed": seed, "augmentation": recipe.augmentation})
        ):
            torch.manual_seed(disturb)
            states.append(_state(epoch.now))
        return states

    first, again, other = final(1, 10), final(1, 20), final(2, 10)
    assert all(map(_equal, first, again))
    assert not _equal(first[0], other[0])
    assert not _equal(first[0], first[1])


def test_a_network_handed_out_is_not_trained_on(conv):
    states, networks = [], []
    for epoch in fine_tune(conv, Recipe(3, 0.05, batch=8)):
        states.append(_state(epoch.now))
        networks.append(epoch.now)
    assert all(_equal(state, _state(network)) for state, network in zip(states, networks, strict=True))


def test_the_last_epoch_within_a_standard_error_of_the_best_is_handed_out(conv):
    epochs = list(fine_tune(conv, Recipe(12, 0.05, batch=8)))
    values = [epoch.validation for epoch in epochs]
    for number, epoch in enumerate(epochs, start=1):
        most = max(values[:number])
        near = epoch.validation >= most - math.sqrt(most * (1 - most) / len(conv.validation))
        assert (epoch.network is epoch.now) if near else (epoch.network is None)


def test_training_stops_when_patience_ends(conv):
    epochs = list(fine_tune(conv, Recipe(60, 0.05, batch=8, schedule="constant", patience=3)))
    judged = [(epoch.validation_loss, epoch.validation) for epoch in epochs]
    assert len(epochs) in (60, best_epoch(judged) + 3)


def test_the_best_epoch_is_by_metric_then_loss_then_the_first():
    assert best_epoch([(1.0, 0.5), (2.0, 0.6), (1.5, 0.6), (1.5, 0.6), (0.1, float("nan"))]) == 3
    assert best_epoch([(2.0, float("nan")), (1.0, float("nan"))]) == 2


def test_within_a_leeway_the_last_epoch_is_kept_whatever_its_loss():
    judged = [(0.1, 0.90), (0.2, 0.95), (0.3, 0.94), (0.4, 0.93)]
    assert [best_epoch(judged, within) for within in (0.0, 0.005, 0.0101, 0.05)] == [2, 2, 3, 4]


def test_the_leeway_is_one_standard_error_of_the_best_accuracy_and_none_for_a_regression():
    judged = [(0.5, 0.9), (0.4, 0.8)]
    assert leeway(CLASSIFICATION, judged, 100) == pytest.approx(0.03)
    assert leeway(REGRESSION, judged, 100) == 0.0


def test_training_goes_on_where_it_stood(conv):
    recipe = Recipe(4, 0.05, batch=8, momentum=0.0, patience=0)
    whole = list(fine_tune(conv, recipe))
    known = [(epoch.validation_loss, epoch.validation) for epoch in whole[:2]]
    middle = Pruned(**{**conv.__dict__, "network": whole[1].now})
    shares: list[float] = []
    rest = list(fine_tune(middle, recipe, known=known, progress=shares.append))
    assert [epoch.number for epoch in rest] == [3, 4]
    assert [epoch.rate for epoch in rest] == [epoch.rate for epoch in whole[2:]]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(1 / 10)
    assert shares[-1] == pytest.approx(1.0)
    better = [(e.validation, -e.validation_loss) > max((v, -ls) for ls, v in known) for e in rest[:1]]
    assert [epoch.network is not None for epoch in rest[:1]] == better
    assert list(fine_tune(middle, recipe, known=known * 2)) == []


def test_only_the_last_layers_learn_and_statistics_before_them_stay(conv):
    names = learning_layers(conv.network, 2)
    assert names == ("conv2", "head")
    before, (epoch,) = _state(conv.network), fine_tune(conv, Recipe(1, 0.05, batch=8, last=2))
    after = _state(epoch.now)
    moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"conv2", "bn2", "head"}
    (everything,) = fine_tune(conv, Recipe(1, 0.05, batch=8))
    changed = {
        n.partition(".")[0] for n, v in _state(everything.now).items() if not torch.equal(before[n], v)
    }
    assert changed == {"conv1", "bn1", "conv2", "bn2", "head"}


def test_dropout_stands_before_the_last_layer(conv):
    student = learner(conv.network, Recipe(dropout=0.999))
    student.begin()
    torch.manual_seed(0)
    outputs, inside = student(conv.fit.inputs[:30])
    assert inside == ()
    bias = conv.network.module.get_submodule("head").bias
    silent = (outputs - bias).abs().amax(dim=1) < 1e-6
    assert 20 <= int(silent.sum()) <= 30  # each of 4 inputs goes with 0.999: an example is silent with 0.996


def test_the_networks_own_dropout_gets_the_rate():
    module = nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.5), nn.ReLU(), nn.Linear(6, 3))
    network = load(randomise(module), (5,), "own")

    def rates(rate):
        modules = learner(network, Recipe(dropout=rate)).module.modules()
        return [module.p for module in modules if isinstance(module, nn.Dropout)]

    assert rates(None) == [0.5]
    assert rates(0.2) == [0.2]


def test_a_learner_in_eval_answers_as_the_network_does(conv):
    student = learner(conv.network, Recipe(dropout=0.5))
    student.module.eval()
    with torch.no_grad():
        assert torch.allclose(student(conv.fit.inputs)[0], conv.network.module(conv.fit.inputs), atol=1e-5)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("granularity", ["channel", "weight"])
@pytest.mark.parametrize("task", [CLASSIFICATION, BINARY, REGRESSION], ids=lambda task: task.name)
def test_every_task_learns_a_table(task, granularity, optimiser):
    outputs, classes = (3, 3) if task is CLASSIFICATION else (1, 2)
    pruned = _pruned(Mlp(outputs=outputs), (5,), classes, granularity, task=task)
    epochs = list(fine_tune(pruned, Recipe(2, 1e-3, batch=16, optimiser=optimiser)))
    assert [epoch.number for epoch in epochs] == [1, 2]
    assert epochs[0].network is not None


def test_tokens_are_learned_too():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(9, 6)
            self.recurrence = nn.GRU(6, 5, batch_first=True)
            self.head = nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.recurrence(self.embedding(x))[0][:, -1])

    from analysis.pruning.groups import with_groups
    from analysis.tracing import trace

    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 9, (40, 7), generator=generator)
    data = dataset((5,), 2, 40)
    data = type(data)(
        "tokens",
        CLASSIFICATION,
        Split(tokens, tokens[:, 0] % 2, "tokens"),
        Split(tokens, tokens[:, 0] % 2, "tokens"),
    )
    torch.manual_seed(0)
    network = with_groups(trace(Reader().eval(), tokens[:1], "reader"))
    plan = uniform_plan(network, "l1", "weight", 0.5)
    pruned = begin(network, prune(network, plan), select(network, plan, score(network, "l1")), data)
    masks = locks(network, pruned.selection)
    assert any("weight_hh" in name for name in masks)
    for epoch in fine_tune(pruned, Recipe(2, 0.05, batch=8, dropout=0.1)):
        parameters = dict(epoch.now.module.named_parameters())
        assert all(not parameters[name][mask].any() for name, mask in masks.items())


@pytest.mark.parametrize(
    "name", ["conv3d", "transformer-encoder", "resnet-projection", "lstm", "shared-linear"]
)
def test_structures_of_every_kind_are_trained_with_their_zeros_locked(name):
    network = from_module(name)
    inputs = BY_NAME[name].inputs(20)
    with torch.no_grad():
        classes = network.module(inputs).shape[1]
    examples = Split(inputs, torch.arange(20) % classes, "noise")
    plan = uniform_plan(network, "l1", "weight", 0.5)
    scores = score(network, "l1")
    data = Dataset("noise", CLASSIFICATION, examples, examples)
    begun = begin(network, prune(network, plan, scores), select(network, plan, scores), data)
    masks = locks(network, begun.selection)
    assert masks
    for epoch in fine_tune(begun, Recipe(1, 1e-3, batch=8, optimiser="adamw", dropout=0.1)):
        parameters = dict(epoch.now.module.named_parameters(remove_duplicate=False))
        assert all(not parameters[name][mask].any() for name, mask in masks.items())


def test_divergence_is_said_in_words(conv):
    with pytest.raises(TrainingError, match=r"epoch 1.*smaller learning rate"):
        list(fine_tune(conv, Recipe(3, 1e30, batch=8)))


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"batch": 1}, {"learning_rate": 0.0}, {"momentum": 1.0}, {"warm_up": 1.0}, {"dropout": 1.0},
     {"l1": -1.0}, {"patience": -1}, {"learning_rate": float("inf")}, {"l1": float("nan")}, {"l2": float("inf")},
     {"decay": float("nan")}, {"momentum": float("nan")}, {"warm_up": float("nan")}, {"dropout": float("nan")},
     {"epochs": 2.5}, {"batch": 8.0}, {"seed": -1}, {"seed": 2**32}, {"seed": 0.5}],
)  # fmt: skip
def test_a_recipe_out_of_range_is_refused(wrong):
    with pytest.raises(PrunescopeError):
        Recipe(**wrong)


def test_a_recipe_is_plain_data_there_and_back():
    recipe = Recipe(3, dropout=0.1, last=2, augmentation=Augmentation(shift=2, flip=True))
    assert from_data(to_data(recipe)) == recipe


class Places(nn.Module):
    """Looks places up that are whole numbers, and a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.layer, self.head = nn.Embedding(5, 8), nn.Linear(5, 8), nn.Linear(8, 3)
        self.places = nn.Parameter(torch.arange(5), requires_grad=False)

    def forward(self, x):
        return self.head(torch.relu(self.layer(x) + self.table(self.places).sum(0)))


@pytest.mark.parametrize("last", [0, 1])
def test_whole_numbers_among_the_parameters_stay_as_they_are(last):
    network, data = load(Places().eval(), (5,)), dataset((5,), 3, 40)
    begun = begin(network, network, Selection(), data)
    (epoch,) = fine_tune(begun, Recipe(epochs=1, batch=8, last=last))
    (places,) = (value for value in epoch.now.module.parameters() if not value.is_floating_point())
    assert torch.equal(places, torch.arange(5))
    assert not torch.equal(epoch.now.weight("head"), network.weight("head"))
    assert torch.isfinite(score(network, "movement", data).values["layer"]).all()
