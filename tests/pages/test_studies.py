"""Studies in the app: begun, drawn as parts arrive, kept, cancelled and gone on with, and refused in words."""

from __future__ import annotations

import time

import pytest
from streamlit.testing.v1 import AppTest

from ui import services, studies


def page() -> None:
    """A page that holds one study: a sweep of digits-mlp."""
    import streamlit as st

    from ui import studies, workspace

    workspace.choose_among(("digits-mlp",))
    options = st.session_state.get("options", {})
    study = studies.Study(
        "sweep", "A sweep", parameters={"criterion": "l1", "granularity": "channel", **options.get("ask", {})},
        keep=options.get("keep", "store"),
    )  # fmt: skip
    studies.panel(
        study, lambda parts: st.metric("Points", len(parts)), button="Begin", sentence="It takes a while.",
        automatic=options.get("automatic", False),
    )  # fmt: skip
    st.metric("Complete", str(studies.is_complete(study)))


@pytest.fixture
def open_study():
    def open_one(**options: object) -> AppTest:
        app = AppTest.from_function(page, default_timeout=60)
        app.session_state["options"] = options
        app.session_state["history"] = "0123456789abcdef"
        return app.run()

    yield open_one
    services.jobs().close()
    services.jobs.cache_clear()


def shown(app: AppTest) -> dict[str, str]:
    return {m.label: m.value for m in app.metric}


def follow(app: AppTest) -> AppTest:
    """Let the job come to its end, looking again and again as the browser does."""
    deadline = time.monotonic() + 60
    while any(job.is_live for job in services.jobs().of("0123456789abcdef")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
        app.run()
    return app.run()


@pytest.mark.parametrize("keep", ["store", "memory"])
def test_a_study_begins_at_the_button_and_its_parts_stay(open_study, keep):
    app = open_study(keep=keep)
    assert shown(app) == {"Complete": "False"} and "It takes a while." in app.caption[0].value
    app.button[0].click().run()
    assert [b.label for b in app.button] == ["Cancel"]
    follow(app)
    assert shown(app)["Complete"] == "True" and int(shown(app)["Points"]) >= 8
    assert not app.button and not app.caption, "nothing is left to begin"
    again = open_study(keep=keep)
    assert shown(again) == shown(app), "another visit finds it"


def test_a_study_whose_parts_were_forgotten_goes_on(open_study):
    follow(open_study(automatic=True))
    app = open_study()
    found = int(shown(app)["Points"])
    with services.store()._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM findings WHERE id = 2")
    assert shown(app.run()) == {"Points": str(found - 1), "Complete": "False"}
    next(b for b in app.button if b.label == "Go on").click().run()
    assert shown(follow(app)) == {"Points": str(found), "Complete": "True"}


def test_what_two_sessions_found_at_once_counts_once(open_study):
    app = follow(open_study(automatic=True))
    before = shown(app)
    with services.store()._database.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO findings (subject, content) SELECT subject, content FROM findings"
        )
    assert shown(app.run()) == before


def test_large_findings_make_room_in_memory(monkeypatch):
    monkeypatch.setattr(studies, "_MEMORY_CHARACTERS", 1000)
    for about in ("a", "b"):
        studies._remember(about, [{"maps": "x" * 700}])
    assert studies._remembered("a") == [] and len(studies._remembered("b")) == 1


def test_another_question_has_findings_of_its_own(open_study):
    follow(open_study(automatic=True))
    other = open_study(ask={"criterion": "l2"})
    assert shown(other) == {"Complete": "False"}


def test_a_cancelled_study_does_not_begin_by_itself_and_can_go_on(open_study):
    app = open_study(automatic=True)
    next(b for b in app.button if b.label == "Cancel").click().run()
    assert [b.label for b in app.run().button] == ["Begin"]
    assert services.jobs().of("0123456789abcdef")[-1].state == "cancelled"
    app.button[0].click().run()
    assert shown(follow(app))["Complete"] == "True"


def test_what_is_refused_is_said_and_can_be_tried_again(open_study):
    app = open_study(ask={"criterion": "beauty"})
    app.button[0].click().run()
    follow(app)
    assert "no criterion" in app.error[0].value
    assert [b.label for b in app.button] == ["Begin"]
