"""The Open page: two files become a network that only its session sees."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import Tensor, nn

import sample_models
from analysis.measure.quality import evaluate, quality
from analysis.pruning.plan import make_plan
from analysis.pruning.plan_json import to_json
from tests.networks import sample_module
from tests.pages.conftest import APP, Open, console, metric, texts
from ui import library, services

SAMPLE = "digits-cnn"
Upload = tuple[str, bytes, str]


@pytest.fixture(scope="module")
def network_file() -> bytes:
    """A digits network, exported as the page says."""
    return exported(sample_module(SAMPLE), sample_models.load(SAMPLE).dataset.evaluation.inputs[:2])


def exported(model: nn.Module, x: Tensor) -> bytes:
    program = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def data_file(count: int = 200) -> bytes:
    split = sample_models.load(SAMPLE).dataset.evaluation
    file = io.BytesIO()
    np.savez(file, x=split.inputs[:count].numpy(), y=split.targets[:count].numpy())
    return file.getvalue()


def offer(
    app: AppTest, network: bytes, data: bytes, network_name: str = "net.pt2", data_name: str = "digits.npz"
) -> AppTest:
    """Put both files into the page."""
    app.file_uploader[0].set_value((network_name, network, "application/octet-stream"))
    app.file_uploader[1].set_value((data_name, data, "application/octet-stream"))
    return app.run()


def press(app: AppTest, label: str) -> AppTest:
    next(b for b in app.button if b.label == label).click().run()
    assert not app.exception
    return app


def bring(open_page: Open, network: bytes, data: bytes, **parameters: str) -> AppTest:
    return press(offer(open_page("open", **parameters), network, data), "Open")


def chosen(app: AppTest) -> str:
    return app.session_state["network"]


def test_the_page_says_how_to_make_the_files_and_waits_for_both(open_page: Open, network_file: bytes) -> None:
    app = open_page("open")
    code = app.code[0].value
    assert "torch.export.export(model.eval(), (x,), dynamic_shapes=" in code
    assert next(b for b in app.button if b.label == "Open").disabled
    app.file_uploader[0].set_value(("net.pt2", network_file, "application/octet-stream")).run()
    assert next(b for b in app.button if b.label == "Open").disabled


def test_two_files_become_the_network_in_hand(open_page: Open, network_file: bytes) -> None:
    app = bring(open_page, network_file, data_file())
    name = chosen(app)
    assert name.startswith("net-")
    opened = library.load(name)
    sample = sample_models.load(SAMPLE)
    assert [(g.members, g.size, g.verdict) for g in opened.network.groups] == [
        (g.members, g.size, g.verdict) for g in sample.network.groups
    ]
    measured = quality(evaluate(opened.network, opened.dataset.evaluation, opened.dataset.task))
    assert metric(app, "Accuracy") == f"{measured['accuracy'].value:.1%}"
    assert measured["accuracy"].value > 0.95
    exact = sum(group.verdict == "exact" for group in opened.network.groups)
    assert f"{exact} exact" in texts(app)
    assert len(opened.dataset.evaluation) + len(opened.dataset.calibration) == 200


def test_every_page_draws_a_brought_network(open_page: Open, network_file: bytes) -> None:
    app = bring(open_page, network_file, data_file())
    for page in ("model", "weights", "importance", "prune", "compare"):
        app.switch_page(f"pages/{page}.py").run()
        assert not app.error and not app.exception, page
    press(app, "Prune 30% of every group")
    assert not app.error
    app.switch_page("pages/prune.py").run()
    assert console(app)["state"]["ratios"]


def test_it_comes_back_after_a_refresh_and_a_restart(open_page: Open, network_file: bytes) -> None:
    app = bring(open_page, network_file, data_file())
    name, history = chosen(app), app.session_state["history"]
    library._OPENED.clear()
    services.shelf.cache_clear()
    again = open_page("prune", network=name, history=history)
    assert not again.error and chosen(again) == name
    assert console(again)["rows"]


def test_two_sessions_never_see_each_others(open_page: Open, network_file: bytes) -> None:
    anna = bring(open_page, network_file, data_file(200))
    bert = bring(open_page, network_file, data_file(150))
    mine, theirs = chosen(anna), chosen(bert)
    assert mine != theirs
    for app, own, other in ((anna, mine, theirs), (bert, theirs, mine)):
        app.run()
        offered = library.names(app.session_state["history"])
        assert own in offered and other not in offered
        assert len(app.sidebar.selectbox[0].options) == len(offered)
    stranger = open_page("model", network=mine)
    assert chosen(stranger) in sample_models.names()
    assert "no network called" in stranger.error[0].value
    bert.session_state["next_network"] = mine
    bert.run()
    assert chosen(bert) != mine and "no network called" in bert.error[0].value


def test_a_network_is_removed_by_whoever_brought_it(open_page: Open, network_file: bytes) -> None:
    app = bring(open_page, network_file, data_file())
    name = chosen(app)
    press(app, "Remove")
    assert services.shelf().find(name) is None
    assert chosen(app) in sample_models.names()


@pytest.mark.parametrize(
    ("network", "data", "message"),
    [
        (b"", None, "net"),
        (b"PK\x03\x04 no archive", None, "net"),
        (None, b"nothing", "digits.npz"),
        (None, b"", "digits.npz"),
    ],
)
def test_what_cannot_be_read_is_a_sentence_and_the_session_goes_on(
    open_page: Open, network_file: bytes, network: bytes | None, data: bytes | None, message: str
) -> None:
    app = offer(
        open_page("open"), network_file if network is None else network, data_file() if data is None else data
    )
    press(app, "Open")
    assert len(app.error) == 1 and message in app.error[0].value.replace("\\", "")
    assert "Something went wrong" not in app.error[0].value
    assert services.shelf().names(app.session_state["history"]) == ()
    press(offer(app, network_file, data_file()), "Open")
    assert not app.error and chosen(app).startswith("net-")


def bright_or_dark() -> tuple[bytes, bytes]:
    """A network that reads pixels from -1 to 1 and tells dark pictures from bright ones, and such pictures."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    sign = torch.tensor([1.0, 1.0, -1.0, -1.0])
    with torch.no_grad():
        model[1].weight.copy_(sign[:, None].expand(4, 4))
        model[3].weight.copy_(torch.stack([sign < 0, sign > 0]).float())
        for layer in (model[1], model[3]):
            layer.bias.zero_()
    pixels = np.random.default_rng(0).integers(0, 256, (300, 1, 2, 2), dtype=np.uint8)
    total = pixels.astype(int).sum(axis=(1, 2, 3))
    pixels, total = pixels[total != 510], total[total != 510]
    file = io.BytesIO()
    np.savez(file, x=pixels, y=(total > 510).astype(np.int64))
    return exported(model, torch.zeros(2, 1, 2, 2)), file.getvalue()


def test_a_network_no_better_than_guessing_gets_the_usual_normalisations(open_page: Open) -> None:
    app = bring(open_page, *bright_or_dark())
    wrong = chosen(app)
    assert metric(app, "Accuracy") != "100.0%" and "no better than" in app.warning[0].value
    press(app, "Try the usual normalisations")
    tried = [m.value for m in app.markdown if "Accuracy" in m.value and "**" not in m.value]
    assert "100.0%" in tried[0] and all("100.0%" not in other for other in tried[1:])
    next(b for b in app.button if b.key == "normalise:symmetric").click().run()
    assert not app.error and not app.warning
    assert metric(app, "Accuracy") == "100.0%"
    assert services.shelf().names(app.session_state["history"]) == (chosen(app),) != (wrong,)


def test_a_table_asks_for_its_column_and_the_task_can_be_changed(open_page: Open) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    lines = ["a,target,b,c", *(f"{a},{int(a > 0)},{b},{c}" for a, b, c in rows)]
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    app = open_page("open")
    offer(app, exported(model, torch.zeros(2, 3)), "\n".join(lines).encode(), data_name="t.csv")
    column = next(s for s in app.selectbox if s.label == "Column to predict")
    assert column.options == ["a", "target", "b", "c"] and column.value == "c"
    column.set_value("target").run()
    press(app, "Open")
    assert library.load(chosen(app)).dataset.task.name == "binary" and "binary" in texts(app)
    next(s for s in app.selectbox if s.label == "Task").set_value("regression").run()
    press(app, "Open")
    assert library.load(chosen(app)).dataset.task.name == "regression" and metric(app, "R²")
    assert library.load(chosen(app)).dataset.feature_names == ("a", "b", "c")


def test_a_plan_for_the_same_network_with_other_data_is_taken(open_page: Open, network_file: bytes) -> None:
    first = chosen(bring(open_page, network_file, data_file(200)))
    plan = make_plan(library.load(first).network, "l1", "channel", {"conv2": 0.5})
    app = bring(open_page, network_file, data_file(150))
    app.switch_page("pages/prune.py").run()
    app.file_uploader(key="plan_file").set_value(
        ("plan.json", to_json(plan).encode(), "application/json")
    ).run()
    assert not app.error
    in_force = app.session_state["benches"][chosen(app)].plan
    assert in_force.network == chosen(app) != first and in_force.ratios == {"conv2": 0.5}


def test_the_servers_own_network_comes_first_for_everyone(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = sample_models.load("auto-mpg-mlp")
    monkeypatch.setattr(library, "own_network", lambda: opened)
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.run()
    assert chosen(app) == "auto-mpg-mlp" == library.names("a" * 32)[0]


def test_a_command_line_that_is_not_understood_is_shown(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["app.py", "--modle", "a:b"])
    library._opened_own.cache_clear()
    app = open_page("model")
    library._opened_own.cache_clear()
    assert any("--modle" in warning.value.replace("\\", "") for warning in app.sidebar.warning)
    assert chosen(app) in sample_models.names()
