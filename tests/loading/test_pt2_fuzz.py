"""Twenty thousand damaged .pt2 files: each is read or refused in words, cheaply, and nothing in it runs."""

from __future__ import annotations

import io
import json
import math
import pickle
import random
import resource
import time
import zipfile
from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn

from analysis.errors import NetworkError
from analysis.loading.aten import HANDLERS, SYMBOLIC
from analysis.loading.pt2 import build, read_pt2
from tests.loading.pt2_cases import file_of, members_of, packed, saved
from tests.loading.pt2_networks import Of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about its own exports

TREES, FILES = 3_000, 1_500  # 18,000 trees of six networks and 3,000 files of two
MORE_MEMORY = 400 << 20
LONGEST = 20.0  # seconds for one file: a reader that hangs

SPECIAL = (
    None, True, False, 0, 1, -1, 2, 3, 7, 16, 255, 10**6, 10**9, 2**31, 2**62, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400,
    0.5, -1.5, 1e-300, 1e300, math.inf, -math.inf, math.nan, "", "x", "NaN", "Infinity", "weight_0", "input", "../../x",
    "torch.ops.aten.relu_.default", "torch.ops.higher_order.wrap_with_set_grad_enabled", "a" * 500, "é\x00\n\"'", "__class__",
    [], {}, [[]], {"as_int": 5}, {"as_none": True}, {"as_name": "x"}, {"as_tensor": {"name": "x"}}, {"as_ints": [10**12] * 3},
    {"as_string": "__import__('os')"}, {"as_float": "NaN"}, {"as_graph": {"graph": {}}}, [1, 2, 3], {"name": "x"},
)  # fmt: skip
TARGETS = (*(f"torch.ops.aten.{name}" for name in HANDLERS), *SYMBOLIC)
IN_PLACE = tuple(t.replace(".default", "_.default") for t in TARGETS[:60])


class Conv(nn.Module):
    """A block with every kind of thing in few calls."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.bn = nn.BatchNorm2d(2)
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        y = torch.relu_(self.bn(self.conv(x)))
        y = torch.cat([*nn.functional.max_pool2d(y, 2).chunk(2, 1)], 1) + y.new_zeros(x.shape[0], 2, 1, 1)
        return self.head(nn.functional.interpolate(y, scale_factor=2)[:, :, 0, ::2].mean(-1))


def _networks() -> dict[str, bytes]:
    torch.manual_seed(0)
    token = Of(lambda m, x: (m.e(x) @ m.e.weight.t()).softmax(-1), e=nn.Embedding(5, 2)).eval()
    return {
        "conv": saved(Conv().eval(), torch.randn(2, 1, 4, 4)),
        "token": saved(token, torch.randint(0, 5, (2, 3))),
        "gru": file_of("gru"),
        "wrapped": file_of("wrapped"),
        "constants": file_of("constants"),
        "mlp": file_of("mlp"),
    }


@pytest.fixture(scope="module")
def networks() -> dict[str, bytes]:
    return _networks()


class Marker:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


class Tally:
    """Tries one damaged file after another and keeps count of what happened."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self.unexpected: list[str] = []

    def attempt(self, read) -> None:
        started = time.perf_counter()
        try:
            read()
            self.outcomes["read"] += 1
        except NetworkError as error:
            self.outcomes["refused"] += 1
            if len(str(error)) > 1500:
                self.unexpected.append(f"a message of {len(str(error))} characters")
        except BaseException as error:
            self.unexpected.append(f"{type(error).__name__}: {error}"[:300])
        self.slowest = max(self.slowest, time.perf_counter() - started)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _without_traces(tree: Any) -> Any:
    """The tree without the long texts that no reader looks at, so that changes hit what matters."""
    if isinstance(tree, dict):
        return {
            k: _without_traces(v)
            for k, v in tree.items()
            if k not in ("stack_trace", "torch_fn", "from_node")
        }
    return [_without_traces(v) for v in tree] if isinstance(tree, list) else tree


def _places(tree: Any, path: tuple = ()) -> list[tuple]:
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [found for key, value in entries for found in [(*path, key), *_places(value, (*path, key))]]


def _at(tree: Any, path: tuple) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _mutate(tree: Any, places: list[tuple], rng: random.Random) -> None:
    """One change somewhere in the tree: a value replaced, deleted, doubled, swapped or nested."""
    path = rng.choice(places)
    try:
        owner, key = _at(tree, path[:-1]), path[-1]
        old = owner[key]
    except (KeyError, IndexError, TypeError):
        return  # an earlier change took it away
    kind = rng.randrange(9)
    if kind == 0:
        del owner[key]
    elif kind == 1 and isinstance(owner, list):
        owner.insert(rng.randrange(len(owner) + 1), json.loads(json.dumps(old)))
    elif kind == 2:
        other = rng.choice(places)
        try:
            place = _at(tree, other[:-1])
            owner[key], place[other[-1]] = (
                json.loads(json.dumps(place[other[-1]])),
                json.loads(json.dumps(old)),
            )
        except (KeyError, IndexError, TypeError):
            return
    elif kind == 3 and isinstance(owner, dict):
        owner[str(rng.choice(SPECIAL))[:300]] = owner.pop(key)
    elif kind == 4:
        owner[key] = [old] if rng.random() < 0.5 else {"as_int": old}
    elif isinstance(old, str) and old.startswith(("torch.", "_operator.")):
        owner[key] = rng.choice(TARGETS if rng.random() < 0.8 else IN_PLACE)
    elif isinstance(old, int) and kind < 7:
        owner[key] = rng.choice([old + 1, old - 1, old * 1000, -old, 2 * old, 10**9, 0])
    else:
        owner[key] = rng.choice(SPECIAL)


@pytest.mark.parametrize("name", ["conv", "token", "gru", "wrapped", "constants", "mlp"])
def test_trees_with_changes_are_read_or_refused(name, networks):
    """The three JSON members with one to three changes each, past the zip and the parser."""
    members = members_of(networks[name])
    names = (
        "models/model.json",
        "data/weights/model_weights_config.json",
        "data/constants/model_constants_config.json",
    )
    texts = [json.dumps(_without_traces(json.loads(members[f"archive/{n}"]))) for n in names]
    places = [_places(json.loads(text)) for text in texts]
    signature = [p for p in places[0] if p[:2] != ("graph_module", "module_call_graph")]
    rng = random.Random(f"trees of {name}")

    def blob(folder):
        def read(path):
            if f"archive/data/{folder}/{path}" not in members:
                raise NetworkError(f"no blob {path[:50]}")
            return members[f"archive/data/{folder}/{path}"]

        return read

    tally, before = Tally(), _peak()
    for _ in range(TREES):
        trees = [json.loads(text) for text in texts]
        for _ in range(rng.choice([1, 1, 2, 3])):
            which = rng.choices([0, 1, 2], [8, 2, 1 if places[2] else 0])[0]
            _mutate(trees[which], signature if which == 0 else places[which], rng)

        def read(trees=trees):
            _guarded(lambda: build(*trees, blob("weights"), blob("constants")))

        tally.attempt(read)
    assert tally.unexpected == []
    assert tally.outcomes["read"] > TREES // 50 and tally.outcomes["refused"] > TREES // 4
    assert tally.slowest < LONGEST
    assert _peak() - before < MORE_MEMORY


def _guarded(read) -> None:
    """As read_pt2: a failure of torch or Python while a call is read is a refusal; hangs and crashes are not."""
    try:
        module, example = read()
    except NetworkError:
        raise
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        raise NetworkError(f"cannot be read: {type(error).__name__}") from error
    assert example.shape[0] == 1 and not module.training
    assert not any(value.is_meta for value in module.state_dict().values())


def _with_bombs(content: bytes, bomb: bytes) -> bytes:
    members = members_of(content)
    extra = (
        "data/sample_inputs/model.pt",
        "data/constants/custom_obj_0",
        "data/weights/model.pt",
        "extra/note",
    )
    return packed({**members, **{f"archive/{name}": bomb for name in extra}})


def _damaged(content: bytes, rng: random.Random) -> bytes:
    """The file with bytes flipped, cut, doubled or blanked, its directory as often as its content."""
    data = bytearray(content)
    directory = content.rindex(b"PK\x01\x02") if rng.random() < 0.3 else 0
    for _ in range(rng.choice([1, 1, 2, 8])):
        place = rng.randrange(min(directory, len(data) - 1), len(data))
        kind = rng.randrange(6)
        if kind <= 2:
            data[place] ^= 1 << rng.randrange(8) if kind else rng.randrange(1, 256)
        elif kind == 3:
            del data[place : place + rng.choice([1, 4, 100])]
        elif kind == 4:
            data[place:place] = data[place : place + rng.choice([1, 4, 100])]
        else:
            data[place : place + 4] = rng.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"])
        if len(data) < 2:
            break
    return bytes(data)


def _edited_text(content: bytes, rng: random.Random) -> bytes:
    """The file with bytes of its JSON changed, checksums made to fit."""
    members = members_of(content)
    name = rng.choice([n for n in members if n.endswith(".json")])
    text = bytearray(members[name])
    for _ in range(rng.choice([1, 2, 5])):
        place = rng.randrange(len(text))
        text[place : place + rng.choice([0, 1, 1, 2])] = rng.choice(
            [
                b"",
                b"9",
                b"-",
                b"[",
                b"]",
                b'"',
                b"{",
                b"}",
                b",",
                b"e9",
                b"\\",
                b"\xff",
                b"null",
                b"0" * 50,
                b'{"as_int":1}',
            ]
        )
    return packed({**members, name: bytes(text)})


@pytest.mark.parametrize("name", ["conv", "constants"])
def test_files_with_changes_are_read_or_refused(name, networks, tmp_path):
    """Whole archives with bytes changed, pickles that would leave a mark among their members."""
    mark = tmp_path / "ran"
    bomb = pickle.dumps(Marker(str(mark)), protocol=2)
    members = members_of(_with_bombs(networks[name], bomb))
    slim = {
        k: json.dumps(_without_traces(json.loads(v))).encode() if k.endswith(".json") else v
        for k, v in members.items()
    }
    content = packed(slim)
    read_pt2(content, "the undamaged file")
    rng = random.Random(f"files of {name}")
    tally, before = Tally(), _peak()
    for turn in range(FILES):
        changed = _edited_text(content, rng) if turn % 3 == 0 else _damaged(content, rng)
        tally.attempt(lambda changed=changed: read_pt2(changed, "x.pt2"))
    for _ in range(
        FILES // 10
    ):  # members exchanged, so that a pickle stands for the graph, a weight, the config
        names = rng.sample(sorted(slim), 2)
        swapped = {**slim, names[0]: slim[names[1]], names[1]: slim[names[0]]}
        tally.attempt(lambda swapped=swapped: read_pt2(packed(swapped), "x.pt2"))
    assert tally.unexpected == []
    assert tally.outcomes["refused"] > FILES // 4
    assert tally.slowest < LONGEST
    assert _peak() - before < MORE_MEMORY
    assert not mark.exists()


def test_random_bytes_are_refused(networks):
    rng = random.Random(0)
    tally = Tally()
    for size in (1, 4, 22, 100, 5000):
        for _ in range(20):
            tally.attempt(lambda size=size: read_pt2(rng.randbytes(size), "x.pt2"))
            tally.attempt(
                lambda size=size: read_pt2(
                    b"PK\x03\x04" + rng.randbytes(size) + networks["mlp"][-size:], "x.pt2"
                )
            )
    assert tally.unexpected == [] and tally.outcomes["read"] == 0


def test_a_zip_of_itself_is_refused(networks):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/models/model.json", networks["mlp"])
    with pytest.raises(NetworkError):
        read_pt2(buffer.getvalue(), "x.pt2")
