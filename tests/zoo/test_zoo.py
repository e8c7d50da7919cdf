"""Every network of the zoo opened, cut group by group, exported and opened again."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from analysis.errors import NetworkError
from analysis.export import to_pt2
from analysis.modules import Recurrent
from analysis.network import Group, Network
from analysis.pruning.channels import remove_channels
from analysis.pruning.groups import with_groups
from analysis.pruning.plan import uniform_plan
from analysis.pruning.prune import prune
from analysis.tracing import open_pt2, trace
from tests.networks import same, snapshot
from tests.zoo import table
from tests.zoo.independent import Removal, masked_answer, step_by_step
from tests.zoo.judged import TOLERANCE, answers, deviation
from tests.zoo.networks import BY_NAME, ZOO
from tests.zoo.opened import exported, from_module, from_pt2, module

NAMES = [network.name for network in ZOO]
every = pytest.mark.parametrize("name", NAMES)

# Networks whose groups are named otherwise in a file, and why; their sizes and verdicts are compared.
NAMED_OTHERWISE = {
    "functional": "a function has no name: the file calls it after its weight, tracing after the call"
}


def test_the_zoo_is_large_and_its_networks_are_small():
    assert len(NAMES) == len(set(NAMES)) >= 34
    for network in ZOO:
        built = network.build()
        assert sum(p.numel() for p in built.parameters()) < 40_000
        assert all(bool((p != 0).all()) for p in built.parameters())  # nothing is zero by accident
        assert network.example.shape[0] == 2 and network.note
        again = network.build().state_dict()
        assert all(torch.equal(value, again[key]) for key, value in built.state_dict().items())


@every
def test_it_is_opened_as_it_is(name):
    entry = BY_NAME[name]
    built = entry.build()
    before = snapshot(built)
    network = trace(built, entry.example, name)
    assert same(before, snapshot(built))
    with torch.no_grad():
        for count in (1, 2, 5):
            inputs = entry.inputs(count, seed=count)
            assert deviation(answers(network, inputs), module(name)(inputs)) <= TOLERANCE


def draw(group: Group, count: int, generator: torch.Generator) -> tuple[int, ...]:
    """`count` channels at random, less those of which one must stay."""
    order = torch.randperm(group.size, generator=generator).tolist()
    kept = {next(channel for channel in order if channel in part) for part in group.parts}
    return tuple(sorted(set(order[:count]) - kept))


def draws(group: Group) -> list[tuple[int, ...]]:
    """Single channels, a third, half and all but one."""
    generator = torch.Generator().manual_seed(0)
    counts = (1, 1, 1, max(1, group.size // 3), group.size // 2, group.size // 2, group.size - 1)
    return sorted({draw(group, count, generator) for count in counts} - {()})


def removed_against_masked(network: Network, removal: Removal, inputs: Tensor) -> tuple[float, float]:
    """The largest difference between removed and masked, and the largest masked output."""
    before = snapshot(network.module)
    removed = answers(remove_channels(network, removal), inputs)
    assert same(before, snapshot(network.module))
    masked = masked_answer(network, removal, inputs)
    return float((removed - masked).abs().max()), float(masked.abs().max())


@every
def test_masked_equals_removed(name):
    network = from_module(name)
    inputs = BY_NAME[name].inputs(8, seed=11)
    assert network.groups
    wrong = []
    for group in network.groups:
        if group.verdict == "refused":
            continue
        measured = [removed_against_masked(network, [(group, c)], inputs) for c in draws(group)]
        found, scale = max(d for d, _ in measured), max(s for _, s in measured)
        if group.verdict == "exact" and found > TOLERANCE * scale:
            wrong.append(f"{group.name} is called exact, and is off by {found / scale:.1e}")
        if group.verdict == "approximate" and not (group.reason and group.deviation >= found / 3):
            wrong.append(
                f"{group.name} claims {group.deviation:.1e} and is off by {found:.1e}: {group.reason}"
            )
    assert not wrong


@every
def test_all_groups_at_once(name):
    network = from_module(name)
    inputs = BY_NAME[name].inputs(8, seed=12)
    exact = [group for group in network.groups if group.verdict == "exact"]
    if not exact:
        assert all(group.reason for group in network.groups)
        return
    generator = torch.Generator().manual_seed(4)
    for share in (0.25, 0.5, 0.75):
        removal = [(g, draw(g, min(g.size - 1, max(1, round(share * g.size))), generator)) for g in exact]
        found, scale = removed_against_masked(network, removal, inputs)
        assert found <= TOLERANCE * scale, [(g.name, c) for g, c in removal]


@every
def test_no_channel_left_is_refused_in_words(name):
    network = from_module(name)
    for group in network.groups:
        for part in () if group.verdict == "refused" else (range(group.size), *group.parts):
            with pytest.raises(NetworkError, match=r"nothing would be left of [\w.]+; keep at least one"):
                remove_channels(network, [(group, tuple(part))])


@every
def test_refusals_are_sentences(name):
    network = from_module(name)
    listed = [member for group in network.groups for member in group.members]
    assert sorted(listed) == sorted(layer.name for layer in network.layers)  # each layer in one group
    for group in network.groups:
        if group.verdict == "refused":
            assert len(group.reason.split()) >= 4, group
            assert not re.search(r"\w(Error|Exception|Warning)\b|Traceback|\n", group.reason), group.reason


@every
def test_the_oracle_hears_every_channel(name):
    """Removed and masked are compared to some purpose: other channels give other answers."""
    network, inputs = from_module(name), BY_NAME[name].inputs(8)
    generator = torch.Generator().manual_seed(2)
    for group in (g for g in network.groups if g.verdict == "exact" and g.size > 2):
        one, other = (draw(group, group.size // 2, generator) for _ in range(2))
        while other == one:
            other = draw(group, group.size // 2, generator)
        heard = [masked_answer(network, [(group, channels)], inputs) for channels in (one, other)]
        assert deviation(heard[0], heard[1]) > 1e-3, (group.name, one, other)
        assert deviation(heard[0], answers(network, inputs)) > 1e-3, (group.name, one)


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN"])
@pytest.mark.parametrize("silent", [set(), {1, 4}], ids=["all heard", "two silent"])
def test_the_oracle_of_recurrence_is_torch(kind, silent):
    torch.manual_seed(0)
    reference = getattr(nn, kind)(4, 6, batch_first=True, bidirectional=True)
    values, keep = torch.randn(3, 5, 4), torch.tensor([float(unit not in silent) for unit in range(6)])
    heard = []
    for ending in ("", "_reverse"):
        parts = [getattr(reference, f"{part}_l0{ending}").detach() for part in _PARTS]
        name = "rnn_tanh" if kind == "RNN" else kind.lower()
        recurrent = Recurrent(name, *(part.clone() for part in parts), reverse=bool(ending))
        heard.append(step_by_step(recurrent, values, silent=silent))
        parts[1].mul_(keep)  # nobody in there hears the silent units: for torch the same as masked
    assert torch.allclose(torch.cat(heard, dim=2), reference(values)[0] * torch.cat([keep, keep]), atol=1e-6)


_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@every
def test_a_file_opens_as_the_module_does(name):
    opened, traced = from_pt2(name), from_module(name)
    with torch.no_grad():
        for count in (1, 2, 5):
            inputs = BY_NAME[name].inputs(count, seed=count)
            assert deviation(answers(opened, inputs), module(name)(inputs)) <= TOLERANCE
    if name in NAMED_OTHERWISE:
        assert sorted((g.size, g.verdict) for g in opened.groups) == sorted(
            (g.size, g.verdict) for g in traced.groups
        )
    else:
        assert {(frozenset(g.members), g.size, g.verdict) for g in opened.groups} == {
            (frozenset(g.members), g.size, g.verdict) for g in traced.groups
        }


@every
def test_what_it_exports_is_what_it_says(name):
    network, inputs = from_module(name), BY_NAME[name].inputs(5, seed=9)
    pruned = prune(network, uniform_plan(network, "l1", "channel", 0.5))
    again = with_groups(open_pt2(to_pt2(pruned), name))
    assert deviation(answers(again, inputs), answers(pruned, inputs)) <= TOLERANCE
    assert again.parameters() == pruned.parameters()


def test_a_file_is_what_torch_writes():
    assert exported("mlp")[:2] == b"PK"


@every
def test_it_does_not_fall_behind_its_row_in_the_table(name):
    written = table.read(table.PATH)
    assert list(written) == NAMES, "write docs/zoo.md again: python -m tests.zoo.table"
    now, then = table.row(name), written[name]
    assert now.exact >= then.exact
    assert now.exact + now.approximate >= then.exact + then.approximate
    assert (now.from_module, now.from_pt2) >= (then.from_module, then.from_pt2)
    assert now.from_pt2 >= then.from_pt2


def test_the_table_is_read_as_it_was_written(tmp_path):
    made = [
        table.Row("a", 3, 1, 1, 1, True, False, "odd | note", "its sizes are fixed"),
        table.Row("b", 0, 0, 0, 0, False, False, "note", ""),
    ]
    table.write(tmp_path / "zoo.md", made)
    found = table.read(tmp_path / "zoo.md")
    assert found["a"] == table.Row("a", 3, 1, 1, 1, True, False, "odd / note", "its sizes are fixed")
    assert found["b"] == made[1]
