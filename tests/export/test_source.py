"""Source that builds a network anew, and what no name from a stranger's file may do to it."""

from __future__ import annotations

import ast
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from analysis.canonical import functional
from analysis.errors import ExportError
from analysis.export.constructors import construction
from analysis.export.forward import forward_source
from analysis.export.inlined import OWN, inlined
from analysis.export.literals import literal, path
from analysis.export.source import source_of
from analysis.modules import Pad, Recurrent, Reshape, Split, Take, Values
from analysis.network import from_graph
from tests.networks import ConvNet, Mlp, load, randomise

HOSTILE = ['"""\nimport os\nos.abort()', "'); raise SystemExit #", "\\", "{x}", "\u2028", "a\r\nb", "\x00"]

MODULES = [
    nn.Conv2d(4, 6, (3, 5), stride=2, padding=(1, 2), dilation=(1, 2), groups=2, bias=False),
    nn.Conv2d(4, 6, 3, padding="same", padding_mode="circular"),
    nn.Conv1d(1, 1, 1, stride=(3,)),
    nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2, dilation=2),
    nn.Linear(3, 2, bias=False),
    nn.Bilinear(2, 3, 4),
    nn.BatchNorm2d(5, eps=1e-3, momentum=None, affine=False, track_running_stats=False),
    nn.BatchNorm1d(5),
    nn.InstanceNorm2d(5, affine=True, track_running_stats=True),
    nn.GroupNorm(2, 6, eps=1e-4),
    nn.LayerNorm((3, 4), elementwise_affine=True, bias=False),
    nn.RMSNorm(7),
    nn.Embedding(9, 4, padding_idx=2, max_norm=1.5),
    nn.GRU(3, 4, num_layers=2, batch_first=True, bidirectional=True),
    nn.LSTM(3, 4, bias=False, proj_size=2),
    nn.RNN(3, 4, nonlinearity="relu"),
    nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
    nn.AvgPool2d(2, count_include_pad=False, divisor_override=3),
    nn.AdaptiveAvgPool2d((None, 2)),
    nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
    nn.Hardtanh(-2.0, 3.0),
    nn.ReLU6(),
    nn.ELU(0.3),
    nn.GELU(approximate="tanh"),
    nn.LeakyReLU(0.2),
    nn.Softmax(dim=1),
    nn.PReLU(3, init=0.1),
    nn.Threshold(0.5, -1.0),
    nn.Softplus(2, 10),
    nn.Flatten(2, 3),
    nn.Unflatten(1, (2, 3)),
    nn.ConstantPad1d((1, 2), 0.5),
    nn.ZeroPad2d((1, 2, 3, 4)),
    nn.PixelShuffle(2),
    nn.ChannelShuffle(2),
    nn.Dropout(0.25),
    nn.LocalResponseNorm(3, alpha=0.1),
    nn.Identity(1, "anything"),
    nn.GLU(dim=1),
    Reshape((-1, 3, 4)),
    Split((2, 3), 1),
    Take((0, 2), -1),
    Pad(1, 2, 6, 1, -math.inf),
    Values(torch.zeros(2, 3, dtype=torch.int64)),
    Values(nn.Parameter(torch.zeros(()))),
    Recurrent("lstm", torch.zeros(8, 3), torch.zeros(8, 2), torch.zeros(8), torch.zeros(8), reverse=True),
    Recurrent("rnn_relu", torch.zeros(2, 3), torch.zeros(2, 2), batch_first=False),
    functional._AnyBatchNorm(4, affine=False),
]


def scope() -> dict:
    found = {"torch": torch, "nn": nn, "F": F}
    exec("from typing import Literal\nfrom torch import Tensor\n" + "\n".join(inlined(OWN)), found)
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
def test_a_module_is_built_anew_with_its_settings(module):
    made = eval(construction("it", module, OWN), scope())
    assert type(made).__name__ == type(module).__name__
    assert repr(made) == repr(module)
    shapes = [{k: (v.shape, v.dtype) for k, v in m.state_dict().items()} for m in (made, module)]
    assert shapes[0] == shapes[1]
    assert [n for n, _ in made.named_parameters()] == [n for n, _ in module.named_parameters()]
    assert vars(made).keys() == vars(module).keys()
    plain = [
        {k: v for k, v in vars(m).items() if isinstance(v, (int, float, str, tuple)) and k != "init"}
        for m in (made, module)
    ]
    assert plain[0] == plain[1]


VALUES = [
    None, True, -3, 2.5, 1e-30, math.inf, -math.inf, ..., (), (1,), (1, (2, None)), [], [1, [2]], {"a": (1,)},
    slice(None, 3), slice(1, None, -1), torch.float32, torch.bool, torch.channels_last, torch.strided,
    torch.device("cpu"), *HOSTILE,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_literal_gives_its_value(value):
    assert eval(literal(value), {"torch": torch}) == value


def test_not_a_number_stays_none():
    assert math.isnan(eval(literal(math.nan)))


@pytest.mark.parametrize("value", [object(), torch.zeros(1), {1, 2}, print, (1, object()), b"x"])
def test_what_source_cannot_hold_is_refused(value):
    with pytest.raises(ExportError, match="which source code cannot"):
        literal(value)


@pytest.mark.parametrize("name", [*HOSTILE, "0", "class", "__init", "a b", "é", 'a"] = 1; b["'])
def test_a_name_from_a_file_is_quoted_and_reads_one_module(name):
    name = name.replace(".", "")  # a dot leads into a module
    read = ast.parse(path(name), mode="eval").body
    assert isinstance(read, ast.Subscript) and ast.literal_eval(read.slice) == name
    assert ast.unparse(read.value) == "self"


def test_plain_names_are_read_as_attributes():
    assert path("blocks.0.conv_1") == "self.blocks['0'].conv_1"


@pytest.mark.parametrize("name", ["", "a..b", "forward", "load_state_dict.weight", "_modules", "training"])
def test_names_that_torch_needs_are_refused(name):
    with pytest.raises(ExportError, match="a name that torch needs itself"):
        path(name)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_network_with_a_hostile_name_is_written_harmlessly(name):
    written = source_of(load(randomise(Mlp()), (5,), name))
    assigned = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(written).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "NAME"
    }
    assert assigned == {"NAME": name}


def graph_of(call):
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    graph.output(call(graph, x))
    return graph


class Doubled(nn.Linear):
    """A class that torch does not have."""


def own(x):
    return x * 2


def test_a_module_that_torch_lacks_is_refused_by_name():
    graph = graph_of(lambda g, x: g.call_module("fc", (x,)))
    network = from_graph("odd", torch.fx.GraphModule({"fc": Doubled(3, 3)}, graph), torch.zeros(1, 3))
    with pytest.raises(ExportError, match=r"fc is a Doubled, which torch\.nn does not have.*\.pt2"):
        source_of(network)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda g, x: g.call_function(own, (x,)), "calls 'own', which is no public function of torch"),
        (lambda g, x: g.call_function(eval, (x,)), "calls 'eval', which is no public function of torch"),
        (lambda g, x: g.call_function(getattr, (x, "__class__")), "calls 'getattr'"),
        (lambda g, x: g.call_function(torch._C._log_api_usage_once, (x,)), "no public function of torch"),
        (lambda g, x: g.call_method("_make_subclass", (x,)), "calls the method '_make_subclass'"),
        (lambda g, x: g.call_method("add(1); x.sub", (x,)), "which no tensor has"),
        (lambda g, x: g.call_function(torch.add, (x,), {"a=1)#": 2}), "names its arguments"),
        (lambda g, x: g.call_function(torch.add, (x, g.placeholder("y"))), "several inputs"),
    ],
)
def test_calls_that_are_not_of_torch_are_refused(call, words):
    module = type("Holder", (), {"graph": graph_of(call)})
    with pytest.raises(ExportError, match=words):
        forward_source(module)


def test_a_layer_inside_a_called_layer_is_refused():
    root = nn.Module()
    root.a = nn.Linear(3, 3)
    root.a.inner = nn.Linear(3, 3)
    graph = graph_of(lambda g, x: g.call_module("a.inner", (g.call_module("a", (x,)),)))
    network = from_graph("odd", torch.fx.GraphModule(root, graph), torch.zeros(1, 3))
    with pytest.raises(ExportError, match=r"a\.inner is a layer inside the layer a"):
        source_of(network)


@pytest.mark.parametrize(
    ("call", "written"),
    [
        (lambda g, x: g.call_function(torch.add, (x, 1), {"alpha": 2}), "add = torch.add(x, 1, alpha=2)"),
        (lambda g, x: g.call_function(F.gelu, (x,)), "gelu = F.gelu(x)"),
        (lambda g, x: x**-1, "pow_1 = x ** (-1)"),
        (lambda g, x: g.call_function(getattr, (x, "shape")), "= x.shape"),
    ],
)
def test_calls_of_torch_are_written_as_one_would(call, written):
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    tracer = torch.fx.proxy.GraphAppendingTracer(graph)
    made = call(graph, torch.fx.Proxy(x, tracer) if written.startswith("pow") else x)
    graph.output(made.node if isinstance(made, torch.fx.Proxy) else made)
    assert any(written in line for line in forward_source(type("Holder", (), {"graph": graph})))


def test_values_called_as_a_module_of_python_do_not_hide_it():
    graph = torch.fx.Graph()
    x = graph.placeholder("torch")
    graph.output(graph.call_function(torch.relu, (x,)))
    lines = forward_source(type("Holder", (), {"graph": graph}))
    assert lines[0] == "def forward(self, torch_1):" and lines[1].endswith("= torch.relu(torch_1)")


def test_the_source_is_short_and_speaks_of_no_workplace():
    written = source_of(load(randomise(ConvNet()), (2, 5, 5)))
    assert "self.conv1 = nn.Conv2d(2, 6, (3, 3), padding=(1, 1))" in written
    assert "Recurrent" not in written and "import math" not in written
    assert "import analysis" not in written and "from analysis" not in written
