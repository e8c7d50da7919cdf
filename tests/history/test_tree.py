"""The tree of trials: by hand, against slow walks on random forests, and on histories that make no tree."""

import random

import numpy as np
import pytest

from analysis.history.tree import NOBODY, lay_out, lineage, parents, ways, with_ways
from tests.history.summaries import named, summary


def ids(some):
    return [s.id for s in some]


def places(tree):
    return {node.summary.id: (node.steps, node.column, node.lane) for node in tree.nodes}


def lines(tree):
    own = [node.summary.id for node in tree.nodes]
    return {(own[edge.start], own[edge.end]): edge.folded for edge in tree.edges}


def forest(seed, size=40, *, chains=0.6):
    """A random forest in which children are younger; mostly chains, so that something folds."""
    draw = random.Random(seed)
    some = []
    for id in range(1, size + 1):
        old = id - 1 if draw.random() < chains else draw.randrange(1, id) if id > 1 else 0
        parent = old if old and draw.random() < 0.95 else None
        label = {"name": "best"} if draw.random() < 0.05 else {"star": draw.random() < 0.05}
        some.append(named(id, parent, **label))
    draw.shuffle(some)
    return some


def walk(some, id):
    """The way to a trial, by asking everybody who its parent is."""
    way = []
    here = next(s for s in some if s.id == id)
    while here is not None:
        way.insert(0, here)
        here = next((s for s in some if s.key == here.parent), None)
    return way


def test_a_history_by_hand():
    """1 - 2 - 3 - 4, and 5 - 6 - 7 grew from 2: of 3 and 6 nothing else grew, so they are folded."""
    some = [summary(1), summary(2, 1), summary(3, 2), summary(4, 3)]
    some += [summary(5, 2), summary(6, 5), summary(7, 6)]
    tree = lay_out(some)
    assert places(tree) == {1: (0, 0, 0), 2: (1, 1, 0), 4: (3, 2, 1), 7: (4, 2, 0)}
    assert lines(tree) == {(1, 2): 0, (2, 4): 1, (2, 7): 2}


def test_stars_names_and_the_trial_in_force_are_never_folded():
    chain = [summary(1), summary(2, 1), named(3, 2, star=True), summary(4, 3), summary(5, 4), summary(6, 5)]
    assert set(places(lay_out(chain))) == {1, 3, 6}
    assert set(places(lay_out(chain, "key 5"))) == {1, 3, 5, 6}
    chain[1] = named(2, 1, name="the first cut")
    assert set(places(lay_out(chain))) == {1, 2, 3, 6}
    chain[3] = named(4, 3, note="words alone", tags=("quick",))
    assert set(places(lay_out(chain))) == {1, 2, 3, 6}


def test_of_equal_ways_ahead_the_oldest_stays_in_the_lane():
    some = [summary(3, 1), summary(2, 1), summary(1)]
    assert places(lay_out(some)) == {1: (0, 0, 0), 2: (1, 1, 0), 3: (1, 1, 1)}


def test_no_trials_make_no_tree():
    tree = lay_out([])
    assert tree.nodes == tree.edges == ()
    assert parents([]) == [] and lineage([], "key 1") == () and ways([], 5).shape == (0, 5)


def test_a_trial_whose_parent_is_not_there_is_a_root():
    some = [summary(2, 1), summary(3, 2), summary(5, 4)]
    assert parents(some) == [NOBODY, 0, NOBODY]
    assert ids(lineage(some, "key 3")) == [2, 3]
    assert places(lay_out(some)) == {2: (0, 0, 0), 3: (1, 1, 0), 5: (0, 0, 1)}


def test_the_oldest_of_a_circle_is_its_root():
    some = [summary(4, 3), summary(3, 2), summary(2, 4), summary(5, 4), summary(1, 1)]
    assert parents(some) == [1, 2, NOBODY, 0, NOBODY]
    assert ids(lineage(some, "key 5")) == [2, 3, 4, 5]
    assert lines(lay_out(some)) == {(2, 5): 2}


@pytest.mark.parametrize("seed", range(30))
def test_whatever_the_parents_are_every_way_ends_and_only_circles_are_cut(seed):
    """Any function as parent; a trial is cut off its parent only if that had led back to it."""
    draw = random.Random(seed)
    size = draw.randrange(1, 12)
    some = [summary(id, draw.choice([None, *range(1, size + 1)])) for id in range(1, size + 1)]
    for position, parent in enumerate(parents(some)):
        asked = some[position].parent
        leads_back, here = False, asked
        for _ in range(size):
            leads_back |= here == some[position].key
            here = next((s.parent for s in some if s.key == here), "")
        assert parent != NOBODY or not asked or leads_back
        assert parent == NOBODY or some[parent].key == asked
        way = lineage(some, some[position].key)
        assert len(set(ids(way))) == len(way) <= size and way[-1] == some[position]


def test_of_equal_plans_the_first_kept_is_the_parent():
    some = [summary(9, None, key="key 1"), summary(1), summary(10, 1)]
    assert parents(some) == [NOBODY, NOBODY, 1]
    assert ids(lineage(some, "key 1")) == [1]


def test_an_unknown_key_has_no_lineage():
    assert lineage([summary(1)], "key 2") == ()


@pytest.mark.parametrize("seed", range(15))
def test_lineages_and_ways_are_those_of_a_slow_walk(seed):
    some = forest(seed)
    short = ways(some, 4)
    for position, one in enumerate(some):
        way = walk(some, one.id)
        assert lineage(some, one.key) == tuple(way)
        last = ids(way)[-4:]
        assert [some[i].id for i in short[position] if i != NOBODY] == last
        assert (short[position] != NOBODY).tolist() == [False] * (4 - len(last)) + [True] * len(last)


@pytest.mark.parametrize("seed", range(15))
def test_some_trials_bring_all_that_are_on_the_way_to_them(seed):
    some = forest(seed)
    wanted = {s.id for s in random.Random(seed).sample(some, 3)}
    on_the_way = {s.id for id in wanted for s in walk(some, id)}
    assert with_ways(some, wanted) == [s for s in some if s.id in on_the_way]
    assert with_ways(some, ()) == []


@pytest.mark.parametrize("seed", range(15))
def test_what_is_drawn_and_folded_adds_up_to_the_history(seed):
    some = forest(seed)
    current = some[3].key
    tree = lay_out(some, current)
    drawn = places(tree)
    grew = {s.id: sum(other.parent == s.key for other in some) for s in some}
    for one in some:
        way = walk(some, one.id)
        wanted = len(way) == 1 or grew[one.id] != 1 or one.label.star or one.label.name or one.key == current
        assert (one.id in drawn) == bool(wanted)
        if one.id in drawn:
            steps, column, _ = drawn[one.id]
            assert steps == len(way) - 1
            assert column == sum(s.id in drawn for s in way) - 1
    assert [node.summary for node in tree.nodes] == [s for s in some if s.id in drawn]
    assert len(drawn) + sum(edge.folded for edge in tree.edges) == len(some)
    for (start, end), folded in lines(tree).items():
        assert ids(walk(some, end))[-folded - 2] == start


@pytest.mark.parametrize("seed", range(15))
def test_lanes_are_as_many_as_ends_and_edges_never_cross(seed):
    some = forest(seed, chains=0.3)
    tree = lay_out(some)
    ends = sum(all(other.parent != s.key for other in some) for s in some)
    assert {node.lane for node in tree.nodes} == set(range(ends))
    spots = [(node.column, node.lane) for node in tree.nodes]
    assert len(set(spots)) == len(spots)
    ways_taken: list[tuple[int, set[tuple[int, int]]]] = []
    for edge in tree.edges:
        start, end = tree.nodes[edge.start], tree.nodes[edge.end]
        assert end.column == start.column + 1 and end.lane >= start.lane
        down = {(start.column, lane) for lane in range(start.lane + 1, end.lane + 1)}
        assert not down & set(spots)
        ways_taken.append((edge.start, down))
    for one, (start, spots_one) in enumerate(ways_taken):
        assert all(other == start or not spots_one & theirs for other, theirs in ways_taken[:one])


def test_ten_thousand_in_one_chain_and_from_one_root():
    """Deeper than Python's stack, and wider than any screen."""
    chain = [summary(1), *(summary(id, id - 1) for id in range(2, 10_001))]
    assert places(lay_out(chain)) == {1: (0, 0, 0), 10_000: (9_999, 1, 0)}
    assert lines(lay_out(chain)) == {(1, 10_000): 9_998}
    assert np.array_equal(ways(chain, 20)[-1], np.arange(9_980, 10_000))
    star = [summary(1), *(summary(id, 1) for id in range(2, 10_001))]
    assert max(node.lane for node in lay_out(star).nodes) == 9_998
