"""Two servers and ten sessions write into one history at once: nothing is lost, nothing is there twice."""

from __future__ import annotations

from collections import Counter

from analysis.store import Store
from tests.store import writing
from tests.store.writing import OWN, SHARED, write_at_once

SECONDS = 1.5


def test_ten_sessions_at_two_servers_lose_nothing_and_double_nothing(url):
    known = write_at_once(url, SECONDS)
    assert {one.session for one in known} == {SHARED, *OWN[0], *OWN[1]}
    assert writing.missing(url, known) == []
    assert writing.doubled(url, {one.session for one in known}) == 0
    store = Store(url)
    for session, count in Counter(one.session for one in known).items():
        numbers = {one.number for one in known if one.session == session}
        assert numbers == set(range(1, max(numbers) + 1))
        listed = store.summaries(session, writing.NETWORK)
        assert len(listed) == max(numbers), "as many as there are plans, also where two wrote the same"
        if session != SHARED:
            assert count == len(listed)
            assert [one.label.name for one in listed] == [f"trial {n}" for n in range(1, count + 1)]
            assert store.plan(session, writing.NETWORK) == writing.plan(count)
            assert [part["number"] for part in store.findings(session)] == list(range(1, count + 1))
    assert len(store.sensitivities(writing.ABOUT)) == 5
    ids = {one.number: one.id for one in known if one.session == SHARED}
    both = [one for one in known if one.session == SHARED]
    assert len(both) > len(ids) and all(ids[one.number] == one.id for one in both), "one plan, one trial"
    store.close()


def test_a_restart_of_the_database_is_not_noticed(postgresql):
    store = Store(postgresql.new_database())
    first = store.add_trial("me", writing.IMAGES, writing.trial(1))
    postgresql.end_connections()
    assert store.find("me", writing.IMAGES, writing.plan(1)) == first
