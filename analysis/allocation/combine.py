"""Several plans of one network made one: what any of them removes, what all do, or what most do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analysis.errors import CriterionError, PlanError
from analysis.importance.registry import find_criterion
from analysis.importance.scores import Scores
from analysis.network import Group, Network
from analysis.pruning.plan import Cut, Granularity, Pick, Plan
from analysis.pruning.selection import Selection, ranking, select


@dataclass(frozen=True)
class Rule:
    """How plans are made one.

    Parameters
    ----------
    needed : callable
        How many of so many plans must remove a channel for it to go. Of ratios sorted from the largest on, the
        one at that place is taken: for ratios of one order of removal that is the same.
    """

    name: str
    label: str
    sentence: str
    needed: Callable[[int], int]


RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("union", "Union", "What any of the plans removes goes.", lambda plans: 1),
        Rule("intersection", "Intersection", "Only what all plans remove goes.", lambda plans: plans),
        Rule("vote", "Vote", "What more than half of the plans remove goes.", lambda plans: plans // 2 + 1),
    )
}


@dataclass(frozen=True)
class Joined:
    """One target of a combined plan.

    `given` is the share that each plan really removes of it, `share` what the combined one removes.
    `spared` are channels that the rule would remove and that stay, because too little would be left.
    """

    target: str
    granularity: Granularity
    given: tuple[float, ...]
    share: float
    spared: tuple[int, ...] = ()


@dataclass(frozen=True)
class Combined:
    """A plan made of several, with an account of every target; `notes` are sentences on what had to be done."""

    plan: Plan
    joined: tuple[Joined, ...]
    notes: tuple[str, ...] = ()


def criterion_of(plans: Sequence[Plan]) -> str:
    """The criterion that a combination of `plans` ranks by: the one most of them use; of equals, the first by name.

    If some of them cut weights, only theirs count: channels can be picked by hand, weights cannot.
    """
    weights = [plan.criterion for plan in plans if plan.ratios_of("weight")]
    counts = Counter(weights or [plan.criterion for plan in plans if plan.cuts])
    if not counts:
        return min(plan.criterion for plan in plans)
    return min(counts, key=lambda criterion: (-counts[criterion], criterion))


def combine(
    network: Network,
    plans: Sequence[Plan],
    selections: Sequence[Selection],
    rule: str,
    scores: Scores | None,
) -> Combined:
    """Make one plan of several, by what each really removes.

    *Channels*: each plan names a set of channels, whatever its criterion. The rule is applied to these sets, and
    the result is said as a slider of the combined criterion, at the share that goes, with picks by hand where its
    ranking differs. Where all plans rank alike this is the largest ratio (union), the smallest (intersection)
    or the median (vote; of an even number the lower one). *Weights*: a plan cannot name single weights, so the
    rule is applied to the ratios of each layer; with one criterion, and the same channels gone, that is the
    rule on the weights themselves.

    Where a union would leave nothing of a group, or of a part that some module reads alone, the channel that
    the fewest plans remove stays, of equals the one with the highest score.

    The order of the plans does not matter; what recovery made of them stays behind.

    Parameters
    ----------
    selections : sequence of Selection
        What each plan removes.
    rule : str
        A name in :data:`RULES`.
    scores : Scores or None
        Of `network` under :func:`criterion_of` the plans; None will do if no plan cuts.

    Raises
    ------
    PlanError
        If there are no plans, the rule is unknown, a plan is for another network, or the result needs too many
        picks.
    """
    if rule not in RULES:
        raise PlanError(f"There is no rule {rule!r} to combine plans. Known: {', '.join(RULES)}.")
    if not plans:
        raise PlanError("There are no plans to combine. Choose at least one.")
    for plan in plans:
        if plan.network != network.name:
            raise PlanError(
                f"A plan of {plan.network} cannot be combined with those of {network.name}. Transfer it first."
            )
    needed = RULES[rule].needed(len(plans))
    criterion = criterion_of(plans)
    parts = [
        _channels(network, target, plans, selections, needed, criterion, scores)
        for target in sorted(
            {target for one in selections for target in one.channels}
            | {pick.target for plan in plans for pick in plan.picks}
        )
    ]
    weights = [
        _weights(target, plans, needed)
        for target in sorted({t for p in plans for t in p.ratios_of("weight")})
    ]
    combined = Plan(
        network.name,
        criterion,
        (
            *(cut for _, plan in parts for cut in plan.cuts),
            *(Cut(w.target, "weight", w.share) for w in weights),
        ),
        tuple(pick for _, plan in parts for pick in plan.picks),
    )
    joined = (*(account for account, _ in parts), *weights)
    return Combined(combined, joined, _notes(plans, combined, joined))


def _channels(
    network: Network,
    target: str,
    plans: Sequence[Plan],
    selections: Sequence[Selection],
    needed: int,
    criterion: str,
    scores: Scores | None,
) -> tuple[Joined, Plan]:
    """What becomes of a group: the account, and a plan for it alone."""
    group = network.group(target)
    sets = [frozenset(selection.channels.get(target, ())) for selection in selections]
    votes = Counter(channel for gone in sets for channel in gone)
    try:
        order = ranking(scores, network, target, "channel").tolist() if scores is not None else None
    except CriterionError:
        order = None
    place = {channel: i for i, channel in enumerate(order or range(group.size))}
    wanted = {channel for channel, count in votes.items() if count >= needed}
    spared = _spared(group, wanted, lambda channel: (votes[channel], -place[channel]))
    gone = frozenset(wanted - spared)
    account = Joined(
        target,
        "channel",
        tuple(len(one) / group.size for one in sets),
        len(gone) / group.size,
        tuple(sorted(spared)),
    )
    return account, _as_given(network, group, plans, gone, criterion, scores) or _plan_of(
        network, group, gone, criterion, order
    )


def _spared(group: Group, gone: set[int], reluctance: Callable[[int], tuple[int, int]]) -> set[int]:
    """Channels that must stay of those in `gone`: the least wanted of each set that would go whole."""
    spared: set[int] = set()
    for part in (*group.parts, tuple(range(group.size))):
        if gone - spared >= set(part):
            spared.add(min(part, key=reluctance))
    return spared


def _as_given(
    network: Network,
    group: Group,
    plans: Sequence[Plan],
    gone: frozenset[int],
    criterion: str,
    scores: Scores | None,
) -> Plan | None:
    """The cut and picks of one of the plans, if they remove just this: then the slider shows the same number."""
    found = []
    for plan in plans:
        cuts = tuple(cut for cut in plan.cuts if (cut.target, cut.granularity) == (group.name, "channel"))
        if cuts and plan.criterion != criterion:
            continue
        alone = Plan(network.name, criterion, cuts, plan.picks_of(group.name))
        if frozenset(select(network, alone, scores).channels.get(group.name, ())) == gone:
            found.append(alone)
    return min(found, key=lambda plan: (len(plan.picks), plan.cuts, plan.picks), default=None)


def _plan_of(
    network: Network, group: Group, gone: frozenset[int], criterion: str, order: Sequence[int] | None
) -> Plan:
    """A plan that removes just `gone` of a group: a cut of so many, and picks by hand where the ranking differs.

    Of the channels that the cut would take, those that stay are kept by hand; those beyond it that go are
    removed by hand. Where nothing ranks the channels, all that go are.
    """
    count = min(len(gone), group.size - group.floor) if order else 0
    first = frozenset((order or ())[:count])
    picks = tuple(Pick(group.name, channel, channel in gone) for channel in sorted(first ^ gone))
    return Plan(network.name, criterion, (Cut(group.name, "channel", count / group.size),), picks)


def _weights(target: str, plans: Sequence[Plan], needed: int) -> Joined:
    given = tuple(plan.ratios_of("weight").get(target, 0.0) for plan in plans)
    return Joined(target, "weight", given, sorted(given, reverse=True)[needed - 1])


def _notes(plans: Sequence[Plan], combined: Plan, joined: Sequence[Joined]) -> tuple[str, ...]:
    notes = []
    label = find_criterion(combined.criterion).label
    weights = {plan.criterion for plan in plans if plan.ratios_of("weight")}
    if len(weights) > 1:
        notes.append(
            "The plans rank weights by different criteria, and a plan cannot name single weights: the rule is applied "
            f"to the ratio of each layer, and {label} says which weights go."
        )
    if combined.picks:
        notes.append(
            f"{len(combined.picks):,} channels are picked by hand, so that exactly the channels of the rule go: no "
            f"slider of {label} alone removes just these."
        )
    spared = sum(len(entry.spared) for entry in joined)
    if spared:
        notes.append(
            f"{spared:,} channel{'s' if spared > 1 else ''} that the rule would remove stay, because nothing would be "
            "left of what some layer reads."
        )
    if any(plan.recovered for plan in plans):
        notes.append(
            "What recovery made of the weights stays behind: the combined plan cuts the dense network."
        )
    return tuple(notes)
