"""Attribution methods, a file each: a few lines around Captum (Kokhlikyan et al. 2020). One registry.

To add a method, write its file and add its entry to the table.
"""

from analysis.explain.methods import (
    deconvolution,
    deep_lift,
    deep_lift_shap,
    feature_ablation,
    grad_cam,
    gradient_shap,
    guided_backprop,
    guided_grad_cam,
    input_x_gradient,
    integrated_gradients,
    internal_influence,
    kernel_shap,
    layer_activation,
    layer_conductance,
    lime,
    occlusion,
    saliency,
    shapley_sampling,
    smooth_grad,
)
from analysis.explain.methods.base import Method

METHODS: dict[str, Method] = {
    file.METHOD.name: file.METHOD
    for file in (
        saliency,
        input_x_gradient,
        integrated_gradients,
        gradient_shap,
        smooth_grad,
        deep_lift,
        deep_lift_shap,
        guided_backprop,
        deconvolution,
        occlusion,
        feature_ablation,
        shapley_sampling,
        kernel_shap,
        lime,
        grad_cam,
        guided_grad_cam,
        layer_conductance,
        layer_activation,
        internal_influence,
    )
}
