"""A tensor of its own for every module that Captum hooks."""

from __future__ import annotations

from torch import fx, nn


def own_inputs(module: fx.GraphModule, types: tuple[type[nn.Module], ...]) -> None:
    """Put a copy of its input before every module of `types`, in the graph of a private copy.

    Captum replaces the gradient of the tensor that enters such a module. If something else reads that
    tensor, too (a shortcut around a ReLU), its gradient would be lost; if it is what leaves another hooked
    module (max-pooling after ReLU), that one would read it before it is replaced. Neither is said by Captum.
    """
    graph = module.graph
    for node in list(graph.nodes):
        if node.op == "call_module" and isinstance(module.get_submodule(str(node.target)), types):
            source = node.all_input_nodes[0]
            with graph.inserting_before(node):
                clone = graph.call_method("clone", (source,))
            node.replace_input_with(source, clone)
    module.recompile()
