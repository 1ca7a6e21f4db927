"""What a layer's ``extra_repr()`` says, from the attributes that a pickled module holds.

The forms are those of PyTorch 2.13 (``torch/nn/modules``). A module of one's own mostly has no
``extra_repr()``, and a state dict has no attributes at all: both say nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paramtui.core.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping

# Per layer: names of attributes. ``name`` is written without its name, ``name=`` with it, ``name=!`` as
# Python writes the value, ``name?default`` only where it is not the default, ``+bias`` tells whether
# there is a bias, ``-bias`` only if there is none.
_FORMS: Final = {
    "Linear NonDynamicallyQuantizableLinear": "in_features= out_features= +bias",
    "Bilinear": "in1_features= in2_features= out_features= +bias",
    "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d": (
        "in_channels out_channels kernel_size= stride= padding?0 dilation?1 output_padding?0 groups?1 -bias"
        " padding_mode?zeros"
    ),
    "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d": (
        "num_features eps= momentum= affine= +bias track_running_stats="
    ),
    "LayerNorm": "normalized_shape eps= elementwise_affine= +bias",
    "RMSNorm": "normalized_shape eps= elementwise_affine=",
    "GroupNorm": "num_groups num_channels eps= affine= +bias",
    "LocalResponseNorm": "size alpha= beta= k=",
    "Embedding": (
        "num_embeddings embedding_dim padding_idx?None max_norm?None norm_type?2.0"
        " scale_grad_by_freq?False sparse?False"
    ),
    "EmbeddingBag": (
        "num_embeddings embedding_dim max_norm?None norm_type?2.0 scale_grad_by_freq?False mode=!"
        " padding_idx?None"
    ),
    "RNN LSTM GRU": (
        "input_size hidden_size proj_size?0 num_layers?1 bias?True batch_first?False dropout?0.0"
        " bidirectional?False"
    ),
    "RNNCell LSTMCell GRUCell": "input_size hidden_size bias?True nonlinearity?tanh",
    "ReLU ReLU6 SiLU Mish SELU": "inplace?False",
    "ELU CELU": "alpha= inplace?False",
    "LeakyReLU": "negative_slope= inplace?False",
    "Hardtanh": "min_val= max_val= inplace?False",
    "Threshold": "threshold= value= inplace?False",
    "Softplus": "beta= threshold=",
    "GELU": "approximate=!",
    "GLU Softmax LogSoftmax Softmin": "dim=",
    "PReLU": "num_parameters=",
    "Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout": "p= inplace=",
    "Flatten": "start_dim= end_dim=",
    "Unflatten": "dim= unflattened_size=",
    "MaxPool1d MaxPool2d MaxPool3d": "kernel_size= stride= padding= dilation= ceil_mode=",
    "AvgPool1d AvgPool2d AvgPool3d": "kernel_size= stride= padding=",
    "LPPool1d LPPool2d LPPool3d": "norm_type= kernel_size= stride= ceil_mode=",
    "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d"
    " AdaptiveMaxPool3d": "output_size=",
    "Upsample": "size?None scale_factor?None mode=!",
    "PixelShuffle": "upscale_factor=",
    "PixelUnshuffle": "downscale_factor=",
    "Fold": "output_size= kernel_size= dilation= padding= stride=",
    "Unfold": "kernel_size= dilation= padding= stride=",
    "ZeroPad1d ZeroPad2d ZeroPad3d ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d"
    " ReplicationPad2d ReplicationPad3d CircularPad1d CircularPad2d CircularPad3d": "padding",
    "ConstantPad1d ConstantPad2d ConstantPad3d": "padding= value=",
}
_FORM_OF: Final = {name: form.split() for names, form in _FORMS.items() for name in names.split()}


def layer_text(class_name: str, attributes: Mapping[str, object], *, bias: bool) -> str:
    """The arguments in a layer's line; empty where it has none or they are not known.

    Args:
        class_name: With its module.
        attributes: Those that are plain values.
        bias: Whether the layer has a tensor of that name.
    """
    if not class_name.startswith("torch.nn."):
        return ""
    parts: list[str] = []
    for entry in _FORM_OF.get(class_name.rsplit(".", 1)[-1], ()):
        if entry == "+bias" or (entry == "-bias" and not bias):
            parts.append(f"bias={bias}")
            continue
        name, _, default = entry.partition("?")
        key = name.rstrip("=!")
        if key not in attributes:
            continue
        value = attributes[key]
        if default and _is_default(value, default):
            continue
        if name == key and not default:
            parts.append(literal_text(value))
        else:
            parts.append(f"{key}={literal_text(value, quoted=name.endswith('!'))}")
    return ", ".join(parts)


def _is_default(value: object, default: str) -> bool:
    if isinstance(value, list):
        return all(str(item) == default for item in value)
    return str(value) == default


def literal_text(value: object, *, quoted: bool = False) -> str:
    """A value as Python writes it: text without quotes unless asked for, lists as the tuples they were."""
    if isinstance(value, list):
        inside = ", ".join(literal_text(item, quoted=quoted) for item in value[:8])
        return f"({inside}{',' if len(value) == 1 else ''}{', …' if len(value) > 8 else ''})"
    if isinstance(value, int) and value.bit_length() > 1000:
        return "…"
    return safe_text(repr(value) if quoted else str(value), 40)
