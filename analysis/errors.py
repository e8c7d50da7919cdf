"""The one family of errors a user may see: each names the thing and the remedy."""


class PrunescopeError(ValueError):
    """Input that is refused; its message is written for the user."""


class NetworkError(PrunescopeError):
    """A network that cannot be read, traced or run."""


class DataError(PrunescopeError):
    """Data that do not fit the network or the task."""


class PlanError(PrunescopeError):
    """A plan that is malformed or belongs to another network."""


class CriterionError(PrunescopeError):
    """A criterion that cannot score this network."""


class AttributionError(PrunescopeError):
    """An attribution method that does not suit this network."""


class ExportError(PrunescopeError):
    """A network that cannot leave in a format, or does not come back from it as it was."""
