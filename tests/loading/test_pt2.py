"""Networks from .pt2 files: forward as exported, names as given, anything unusual refused in words."""

from __future__ import annotations

import io

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analysis.errors import NetworkError
from analysis.export import to_pt2
from analysis.loading.pt2 import read_pt2
from analysis.tracing import trace
from tests.loading.pt2_cases import CASES, edited, file_of, members_of, network, packed, saved
from tests.loading.pt2_networks import Of
from tests.networks import ConvNet, Mlp

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about its own exports

WITH_WEIGHTS = (
    nn.modules.conv._ConvNd, nn.Linear, nn.Embedding, nn.modules.batchnorm._NormBase, nn.LayerNorm,
    nn.GroupNorm, nn.PReLU, nn.RNNBase, nn.RMSNorm,
)  # fmt: skip
ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Hardtanh,
    nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid, nn.Softmax, nn.LogSoftmax, nn.Sigmoid, nn.Tanh, nn.GLU, nn.Threshold,
)  # fmt: skip
POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


def _answer(module: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return module(inputs)


def _close(ours: nn.Module, theirs: nn.Module, inputs: Tensor) -> None:
    torch.testing.assert_close(_answer(ours, inputs), _answer(theirs, inputs), rtol=1e-5, atol=1e-5)


def _refusal(content: bytes, match: str) -> str:
    with pytest.raises(NetworkError, match=match) as caught:
        read_pt2(content, "mine.pt2")
    assert str(caught.value).startswith("mine.pt2")
    return str(caught.value)


# -------------------------------------------------------------------- what it reads


@pytest.mark.parametrize("name", CASES)
def test_the_answers_are_the_networks_own_at_any_batch(name):
    module, example = read_pt2(file_of(name), name)
    assert example.shape == (1, *CASES[name].shape)
    for batch in (1, 2, 5):
        _close(module, network(name), CASES[name].inputs(batch))
    _close(module, network(name), example)


@pytest.mark.parametrize("name", CASES)
def test_the_answers_are_the_networks_own_at_a_fixed_batch(name):
    module, example = read_pt2(file_of(name, free=False), name)
    assert example.shape == (1, *CASES[name].shape)
    _close(module, network(name), CASES[name].inputs(2))


@pytest.mark.parametrize("name", CASES)
def test_layers_keep_their_names_types_and_weights(name):
    module, _ = read_pt2(file_of(name), name)
    found = dict(module.named_modules())
    for path, layer in network(name).named_modules():
        is_held_elsewhere = name == "computed weights" or (
            name in ("tied", "weight norm") and path in ("out", "0")
        )
        in_attention = type(layer).__name__ == "NonDynamicallyQuantizableLinear"
        if not path or not isinstance(layer, WITH_WEIGHTS) or is_held_elsewhere:
            continue
        assert type(found[path]) is (nn.Linear if in_attention else type(layer)), path
        ours, theirs = found[path].state_dict(), layer.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), path


@pytest.mark.parametrize(
    "name", ["mlp", "lenet", "residual", "depthwise", "transposed", "activations", "one axis"]
)
def test_activations_and_pools_keep_their_names(name):
    module, _ = read_pt2(file_of(name), name)
    found = dict(module.named_modules())
    expected = {p: type(m) for p, m in network(name).named_modules() if isinstance(m, ACTIVATIONS + POOLS)}
    assert expected, "the case tests nothing"
    assert {path: type(found.get(path)) for path in expected} == expected


def test_every_activation_call_has_a_module_of_its_own():
    module, _ = read_pt2(file_of("shared"), "shared")
    calls = [n.target for n in module.graph.nodes if n.op == "call_module"]
    assert calls == ["fc", "act", "fc", "act_2", "fc"]
    module, _ = read_pt2(file_of("residual"), "residual")
    calls = [n.target for n in module.graph.nodes if n.op == "call_module"]
    assert {"2.relu", "2.relu_2", "3.relu", "3.relu_2"} <= set(calls)
    assert not any(getattr(m, "inplace", False) for m in module.modules())


@pytest.mark.parametrize("name", CASES)
def test_the_graph_is_of_modules_and_public_functions(name):
    module, _ = read_pt2(file_of(name), name)
    assert not module.training and not any(m.training for m in module.modules())
    for node in module.graph.nodes:
        assert not isinstance(node.target, torch._ops.OpOverload), node.target
        if node.op == "call_module":
            assert type(module.get_submodule(node.target)) is not nn.Module
    module.graph.lint()


def test_weights_of_the_token_matrix_are_held_once_and_read_by_the_output():
    module, _ = read_pt2(file_of("tied"), "tied")
    assert type(module.embed) is nn.Embedding
    read = [n.target for n in module.graph.nodes if n.op == "get_attr"]
    assert "embed.weight" in read and not hasattr(module, "out")
    assert sum(p.numel() for p in module.parameters()) == 11 * 4 + 4 * 4 + 4


def test_free_parameters_keep_their_names():
    module, _ = read_pt2(file_of("vit"), "vit")
    assert {"cls_token", "pos_embed", "scale"} <= dict(module.named_parameters(recurse=False)).keys()
    assert type(module.attn.in_proj) is nn.Linear and module.attn.in_proj.weight.shape == (24, 8)
    module, _ = read_pt2(file_of("windows"), "windows")
    assert torch.equal(module.table, network("windows").table)
    assert torch.equal(module.index, network("windows").index)


@pytest.mark.parametrize("name", ["gru", "lstm", "rnn", "lstm projected"])
def test_the_first_state_of_zeros_is_left_to_the_module(name):
    module, _ = read_pt2(file_of(name), name)
    calls = [
        n
        for n in module.graph.nodes
        if n.op == "call_module" and isinstance(module.get_submodule(n.target), nn.RNNBase)
    ]
    assert calls and all(len(n.args) == 1 for n in calls)
    assert not any(n.target is torch.zeros for n in module.graph.nodes)
    module, _ = read_pt2(file_of("gru first state"), name)
    assert [len(n.args) for n in module.graph.nodes if n.target == "gru"] == [2]


def test_two_readings_share_no_memory_and_are_equal():
    first, example = read_pt2(file_of("residual"), "a")
    torch.manual_seed(3)
    second, again = read_pt2(file_of("residual"), "b")
    assert torch.equal(example, again) and str(first.graph) == str(second.graph)
    state = second.state_dict()
    for key, value in first.state_dict().items():
        assert torch.equal(value, state[key]) and value.data_ptr() != state[key].data_ptr()
    pointers = [v.data_ptr() for v in state.values()]
    assert len(set(pointers)) == len(pointers)


def test_reading_draws_no_random_numbers():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    for name in ("gru", "vit", "text"):
        read_pt2(file_of(name), name)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(kind):
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).to(kind).eval()
    ours, example = read_pt2(saved(module, torch.randn(2, 3, dtype=kind)), "x")
    assert {v.dtype for v in ours.state_dict().values()} == {torch.float32} and example.dtype == torch.float32
    _close(ours, module.float(), torch.randn(3, 3))


def test_casts_between_precisions_vanish():
    module = Of(lambda m, x: m.fc(x.half().float()) + (x > 0).long()[:, :2], fc=nn.Linear(3, 2)).eval()
    ours, _ = read_pt2(saved(module, torch.randn(2, 3)), "x")
    x = torch.tensor([[1.0, -2.0, 0.5]])
    _close(ours, module, x)


@pytest.mark.parametrize("module", [nn.BatchNorm1d(4), nn.BatchNorm1d(4, affine=False)])
def test_a_network_exported_in_training_mode_is_evaluated(module):
    whole = nn.Sequential(nn.Linear(3, 4), module, nn.Dropout(), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        module.running_mean.uniform_(-1, 1)
        module.running_var.uniform_(0.5, 2)
    content = saved(whole.train(), torch.randn(3, 3))
    ours, _ = read_pt2(content, "x")
    _close(ours, whole.eval(), torch.randn(5, 3))
    assert type(ours.get_submodule("1")) is nn.BatchNorm1d


def test_a_norm_without_statistics_is_refused():
    whole = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False)).eval()
    assert "track_running_stats=True" in _refusal(saved(whole, torch.randn(3, 3)), "running statistics")


@pytest.mark.parametrize(
    "name",
    [
        "mlp",
        "lenet",
        "residual",
        "transposed",
        "norms",
        "attention",
        "vit",
        "text",
        "tied",
        "one axis",
        "depthwise",
        "encoder",
    ],
)
def test_decomposed_programs_are_read_too(name):
    content = saved(network(name), CASES[name].inputs(2), decomposed=True)
    ours, _ = read_pt2(content, name)
    for batch in (2, 5):
        _close(ours, network(name), CASES[name].inputs(batch))


def test_linear_layers_of_a_decomposed_program_get_their_names_back():
    ours, _ = read_pt2(saved(network("mlp"), torch.randn(2, 5), decomposed=True), "x")
    assert type(ours.get_submodule("0")) is nn.Linear and type(ours.get_submodule("3")) is nn.Linear


@pytest.mark.parametrize("module", [ConvNet(), Mlp()], ids=["conv", "mlp"])
def test_our_own_exports_come_back(module):
    made = trace(module.eval(), torch.randn(1, *((2, 5, 5) if isinstance(module, ConvNet) else (5,))), "x")
    ours, example = read_pt2(to_pt2(made), "x")
    assert example.shape == made.example_input.shape
    assert {layer.name for layer in made.layers} <= {name for name, _ in ours.named_modules()}
    _close(ours, made.module, made.example_input.repeat(3, *[1] * (made.example_input.dim() - 1)))


def test_a_file_is_read_from_its_path(tmp_path):
    path = tmp_path / "net.pt2"
    path.write_bytes(file_of("mlp"))
    ours, _ = read_pt2(path, "net.pt2")
    _close(ours, network("mlp"), CASES["mlp"].inputs(2))
    with pytest.raises(NetworkError, match="no readable file"):
        read_pt2(tmp_path / "gone.pt2", "gone.pt2")


def test_example_tokens_are_known_to_the_smallest_embedding_that_reads_them():
    module = Of(lambda m, x: m.a(x) + m.b(x), a=nn.Embedding(9, 2), b=nn.Embedding(3, 2)).eval()
    for _ in range(2):
        _, example = read_pt2(saved(module, torch.randint(0, 3, (2, 50))), "x")
        assert example.dtype == torch.int64 and example.min() == 0 and example.max() == 2


# ------------------------------------------------------------- what stays as it was


def test_writes_in_place_are_seen_by_later_reads_of_the_same_tensor():
    def run(m, x):
        y = m.fc(x)
        kept = y.clone()
        y.relu_()
        return y + kept * 2

    module = Of(run, fc=nn.Linear(4, 4)).eval()
    ours, _ = read_pt2(saved(module, torch.randn(2, 4)), "x")
    _close(ours, module, torch.randn(5, 4))


def test_writes_in_place_into_the_input_stay_inside():
    module = Of(lambda m, x: m.fc(x.clone().relu_().add_(x)), fc=nn.Linear(4, 2)).eval()
    ours, _ = read_pt2(saved(module, torch.randn(2, 4)), "x")
    x = torch.randn(3, 4)
    before = x.clone()
    _close(ours, module, x)
    assert torch.equal(x, before)


def test_writes_through_a_view_are_refused():
    def run(m, x):
        y = m.fc(x)
        y[:, 0] = 1.0
        return y

    message = _refusal(saved(Of(run, fc=nn.Linear(4, 4)).eval(), torch.randn(2, 4)), "through a view")
    assert "torch.cat" in message


def test_a_stronger_write_through_a_view_is_refused():
    """y.view(-1).relu_() changes y, which is read afterwards."""

    def run(m, x):
        y = m.fc(x)
        y.view(-1).relu_()
        return y

    _refusal(saved(Of(run, fc=nn.Linear(4, 4)).eval(), torch.randn(2, 4)), "through a view")


# -------------------------------------------------------------------- what it refuses


def test_an_unknown_operator_is_named_with_what_to_do():
    module = Of(lambda m, x: torch.linalg.svdvals(m.fc(x)), fc=nn.Linear(4, 4)).eval()
    message = _refusal(saved(module, torch.randn(2, 3, 4)), "linalg_svd")
    assert "--model" in message and "Express it" in message


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor, y: Tensor | None = None):
        return (self.fc(x), x) if y is None else self.fc(x + y)


def _exported(*inputs: Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(Two().eval(), inputs), buffer)
    return buffer.getvalue()


def test_several_inputs_or_outputs_are_refused_with_the_way_out():
    assert "forward(x)" in _refusal(_exported(torch.ones(2, 3), torch.ones(2, 3)), "takes 2 inputs")
    assert "Wrap the model" in _refusal(_exported(torch.ones(2, 3)), "returns 2 values")


def test_an_output_in_a_tuple_is_read():
    module = Of(lambda m, x: (m.fc(x),), fc=nn.Linear(3, 2)).eval()
    ours, _ = read_pt2(saved(module, torch.ones(2, 3)), "x")
    assert torch.equal(_answer(ours, torch.ones(4, 3)), _answer(module, torch.ones(4, 3))[0])


def test_pooling_indices_are_refused():
    def run(m, x):
        pooled, where = F.max_pool2d(m.conv(x), 2, return_indices=True)
        return F.max_unpool2d(pooled, where, 2)

    _refusal(saved(Of(run, conv=nn.Conv2d(1, 2, 1)).eval(), torch.randn(2, 1, 4, 4)), "unpool|indices")


def test_other_files_are_told_apart(tmp_path):
    script = io.BytesIO()
    torch.save(nn.Linear(2, 2), script)
    assert "can run code" in _refusal(script.getvalue(), "torch.save")
    _refusal(b"", "not a .pt2 archive")
    _refusal(b"PK\x03\x04 but no more", "not a .pt2 archive")
    assert "torch.export.save" in _refusal(packed({"readme.txt": b"hello"}), "no exported model")
    old = {"version": b"1", "serialized_exported_program.json": b"{}", "serialized_state_dict.pt": b""}
    _refusal(packed(old), "older torch")
    two = members_of(file_of("mlp"))
    _refusal(packed({**two, "archive/models/other.json": b"{}"}), "2 models")


@pytest.mark.parametrize(
    ("member", "content"), [("archive_format", b"aot"), ("archive_version", b"7"), ("byteorder", b"big")]
)
def test_other_archive_formats_are_refused(member, content):
    members = members_of(file_of("mlp"))
    assert members[f"archive/{member}"] != content
    assert "Export it again" in _refusal(packed({**members, f"archive/{member}": content}), member)


@pytest.mark.parametrize("version", [7, 9, "8", None, True])
def test_other_schemas_are_refused(version):
    def edit(tree):
        tree["schema_version"]["major"] = version

    _refusal(edited(file_of("mlp"), edit), "schema")


def test_a_free_minor_schema_version_is_read():
    def edit(tree):
        tree["schema_version"]["minor"] = 99

    read_pt2(edited(file_of("mlp"), edit), "x")
