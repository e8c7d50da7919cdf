"""prune(network, plan): the pruned network, as a pure function."""

from __future__ import annotations

from torch import nn

from analysis.errors import CriterionError
from analysis.importance.registry import find_criterion, score
from analysis.importance.scores import Scores
from analysis.network import Network, replace_modules
from analysis.pruning.channels import Channels, cut_modules, silent_modules
from analysis.pruning.plan import Plan, check_plan
from analysis.pruning.selection import Selection, select
from analysis.pruning.weights import zeroed_modules


def prune(network: Network, plan: Plan, scores: Scores | None = None) -> Network:
    """Carry out a plan.

    Channel cuts give a physically smaller network, weight cuts one with zeros; a plan may do both. `network` is not
    modified, and the same plan and scores always give the same result.

    Parameters
    ----------
    scores : Scores, optional
        Scores of the dense network under the plan's criterion; computed here if the criterion needs
        no data. A plan without cuts (channels picked by hand alone) needs none.

    Raises
    ------
    PlanError
        If the plan is for another network, or names recovered weights: these are for
        :func:`analysis.recovery.recovered.restore` to bring back.
    CriterionError
        If the criterion needs data and no scores are given, or cannot rank a target.
    """
    check_plan(plan, network)
    if plan.is_dense:
        return network
    if scores is None and plan.cuts:
        scores = _scores_without_data(network, plan)
    return remove(network, select(network, plan, scores))


def remove(network: Network, selection: Selection) -> Network:
    """Remove exactly what `selection` names."""
    return replace_modules(network, changed_modules(network, selection))


def changed_modules(network: Network, selection: Selection) -> dict[str, nn.Module]:
    """The modules that change when `selection` goes, by name: weights set to zero, then channels cut."""
    zeroed = zeroed_modules(network, selection.weights)
    return zeroed | cut_modules(network, _channels(network, selection), zeroed)


def masked_twin(network: Network, selection: Selection) -> Network:
    """The network in its full shape with the same selection silenced instead of removed."""
    zeroed = zeroed_modules(network, selection.weights)
    return replace_modules(network, zeroed | silent_modules(network, _channels(network, selection), zeroed))


def _channels(network: Network, selection: Selection) -> Channels:
    return [(network.group(name), channels) for name, channels in selection.channels.items()]


def _scores_without_data(network: Network, plan: Plan) -> Scores:
    criterion = find_criterion(plan.criterion)
    if criterion.needs_data:
        raise CriterionError(
            f"{criterion.label} needs calibration examples: compute the scores with "
            "score(network, criterion, dataset) and pass them."
        )
    return score(network, plan.criterion)
