"""Mean, variance and nonzero share of activations, and Wanda, against loops over examples."""

import pytest
import torch
from torch import nn

from analysis.importance import score
from analysis.tasks import REGRESSION
from analysis.tracing import trace
from sample_models.architectures import ResNet, ResNetConfig
from tests.importance import oracles
from tests.networks import ConvNet, DepthwiseNet, Mlp, dataset, randomise

ORACLES = {
    "activation-mean": oracles.mean_activation,
    "activation-variance": oracles.activation_variance,
    "apoz": oracles.nonzero_share,
}


class Grouped(nn.Module):
    """A convolution in two groups, a dilated one, and a transposed one; reads (1, 6, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.relu1 = nn.ReLU()
        self.grouped = nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.relu2 = nn.ReLU()
        self.up = nn.ConvTranspose2d(6, 3, 2)
        self.relu3 = nn.ReLU()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        x = self.relu3(self.up(self.relu2(self.grouped(self.relu1(self.stem(x))))))
        return self.head(x.mean((2, 3)))


class GroupedUp(nn.Module):
    """A transposed convolution in two groups: its weight is (in, out / groups, ...)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.relu1 = nn.ReLU()
        self.up = nn.ConvTranspose2d(4, 6, 2, groups=2)
        self.relu2 = nn.ReLU()
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.relu2(self.up(self.relu1(self.stem(x)))).mean((2, 3)))


class Sequences(nn.Module):
    """Linear layers on (time, features); reads (4, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 3)
        self.relu = nn.ReLU()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.relu(self.first(x))).mean(1)


# where the channels of each layer are heard: after the first activation that follows
HEARD = {
    "conv": (ConvNet, (2, 5, 5), {"conv1": "relu1", "conv2": "relu2", "head": "head"}),
    "sigmoid": (lambda: Mlp(nn.Sigmoid), (5,), {"fc1": "act1", "fc2": "act2", "head": "head"}),
    "depthwise": (
        DepthwiseNet,
        (1, 6, 6),
        {"stem": "relu1", "depthwise": "relu2", "point": "relu3", "head": "head"},
    ),
    "residual": (
        lambda: ResNet(ResNetConfig((3, 4), (1, 1), 3)),
        (1, 6, 6),
        {
            "conv1": "relu",
            "stage1.0.conv1": "stage1.0.relu1",
            "stage1.0.conv2": "stage1.0.relu2",  # through BatchNorm and the addition
            "stage2.0.conv1": "stage2.0.relu1",
            "stage2.0.conv2": "stage2.0.relu2",
            "stage2.0.shortcut.conv": "stage2.0.relu2",
            "head": "head",
        },
    ),
    "grouped": (Grouped, (1, 6, 6), {"stem": "relu1", "grouped": "relu2", "up": "relu3", "head": "head"}),
    "grouped-up": (GroupedUp, (1, 6, 6), {"stem": "relu1", "up": "relu2", "head": "head"}),
}


def case(name, count=11):
    build, shape, heard = HEARD[name]
    module = randomise(build())
    return module, trace(module, torch.zeros(1, *shape), "tiny"), dataset(shape, 2, count), heard


@pytest.mark.parametrize("name", HEARD)
@pytest.mark.parametrize("criterion", ORACLES)
def test_channels_against_loops(criterion, name):
    module, net, data, heard = case(name, 70 if name in ("conv", "sigmoid") else 11)  # 70: two chunks
    scores = score(net, criterion, data)
    assert set(scores.values) == set(heard)
    for layer, place in heard.items():
        expected = torch.tensor(
            ORACLES[criterion](module, place, data.calibration.inputs), dtype=torch.float64
        )
        torch.testing.assert_close(scores.values[layer].double(), expected, rtol=1e-5, atol=1e-7, msg=layer)
    assert scores.examples == len(data.calibration)


def test_a_relu_network_has_zeros_and_a_sigmoid_network_none():
    for name, layer, whole in (("conv", "conv1", False), ("sigmoid", "fc1", True)):
        _, net, data, _ = case(name)
        assert bool((score(net, "apoz", data).values[layer] == 1).all()) is whole


def test_variance_of_a_loud_and_nearly_constant_channel():
    """A mean of 1000 with a deviation of 0.01: E[a²] - E[a]² would have no right digit in float32."""
    module = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1))
    with torch.no_grad():
        module[0].weight[:] = torch.tensor([[0.01], [1.0]])
        module[0].bias[:] = torch.tensor([1000.0, 0.0])
    data = dataset((1,), 1, 200, task=REGRESSION)
    net = trace(module, torch.zeros(1, 1), "loud")
    values = score(net, "activation-variance", data).values["0"]
    expected = oracles.activation_variance(module, "0", data.calibration.inputs)
    assert values.tolist() == pytest.approx(expected, rel=1e-4)


def test_dropout_is_passed():
    module = nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.9), nn.ReLU(), nn.Linear(4, 2))
    data = dataset((5,), 2, 20)
    net = trace(module, torch.zeros(1, 5), "dropout")
    expected = oracles.nonzero_share(module, "2", data.calibration.inputs)
    assert score(net, "apoz", data).values["0"].tolist() == pytest.approx(expected)
    assert min(expected) < 1


@pytest.mark.parametrize("name", HEARD)
def test_wanda_against_loops(name):
    module, net, data, heard = case(name, 70 if name in ("conv", "sigmoid") else 11)
    scores = score(net, "wanda", data)
    assert set(scores.values) == set(heard)
    for layer in heard:
        expected = oracles.wanda(module, layer, data.calibration.inputs)
        assert scores.values[layer].shape == expected.shape
        torch.testing.assert_close(scores.values[layer].double(), expected, rtol=1e-5, atol=1e-7, msg=layer)


def test_sequences_count_every_position():
    module = randomise(Sequences())
    net = trace(module, torch.zeros(1, 4, 5), "sequences")
    data = dataset((4, 5), 2, 7)
    wanda = score(net, "wanda", data).values
    for layer in ("first", "head"):
        expected = oracles.wanda(module, layer, data.calibration.inputs)
        torch.testing.assert_close(wanda[layer].double(), expected, rtol=1e-5, atol=1e-7)
    with torch.no_grad():
        heard = [module.relu(module.first(x)) for x in data.calibration.inputs]
    for channel in range(3):
        values = [abs(v) for one in heard for v in one[:, channel].tolist()]
        mean = float(score(net, "activation-mean", data).values["first"][channel])
        assert mean == pytest.approx(sum(values) / len(values), rel=1e-5)


def test_wanda_of_an_embedding_counts_the_tokens():
    """An embedding reads one-hot rows, so the norm of input t is the root of how often t occurs."""
    module = nn.Sequential(nn.Embedding(6, 4), nn.Flatten(), nn.Linear(12, 2))
    data = dataset((3,), 2, 9)
    tokens = torch.randint(6, (9, 3), generator=torch.Generator().manual_seed(0))
    data.calibration.__dict__["inputs"] = tokens
    values = score(trace(module, tokens[:1], "tokens"), "wanda", data).values["0"]
    for token in range(6):
        norm = float((tokens == token).sum()) ** 0.5
        expected = module[0].weight[token].detach().abs().double() * norm
        torch.testing.assert_close(values[token].double(), expected, rtol=1e-6, atol=0)
