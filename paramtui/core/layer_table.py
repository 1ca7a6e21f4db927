"""torch.nn's own layers: what each is made with, and which parameters it holds.

The forms are those of PyTorch 2.4 to 2.13 (``torch/nn/modules``). Nothing outside this table is ever looked
up by a name that stands in a file.
"""

from __future__ import annotations

from typing import Final, NamedTuple


def names_in(text: str) -> frozenset[str]:
    """The names in a text with spaces between them."""
    return frozenset(text.split())


BLOCK: Final = "Module"
"""Class name of a block that only holds others."""
OUT_PROJECTION: Final = "NonDynamicallyQuantizableLinear"
"""Class of the ``out_proj`` of a `MultiheadAttention`; a subclass of `Linear`."""
RECURRENT: Final = ("RNN", "LSTM", "GRU")

_PREFIX: Final = "torch.nn.modules."


class Form(NamedTuple):
    """How a layer with parameters is made.

    Attributes:
        needed: Arguments that the constructor demands, each an attribute of the same name.
        options: Arguments that it has a default for, each an attribute of the same name.
        flags: Arguments that say whether a parameter is there, with that parameter.
        parameters: Those that every such layer has.
    """

    needed: tuple[str, ...]
    options: tuple[str, ...]
    flags: dict[str, str]
    parameters: tuple[str, ...]


# Per layers: needed arguments; options; flags as argument=parameter; parameters.
_FORMS: Final = {
    f"Linear {OUT_PROJECTION}": "in_features out_features;; bias=bias; weight",
    "Bilinear": "in1_features in2_features out_features;; bias=bias; weight",
    "Conv1d Conv2d Conv3d": (
        "in_channels out_channels kernel_size; stride padding dilation groups padding_mode; bias=bias; weight"
    ),
    "ConvTranspose1d ConvTranspose2d ConvTranspose3d": (
        "in_channels out_channels kernel_size; stride padding output_padding groups dilation padding_mode;"
        " bias=bias; weight"
    ),
    "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d": (
        "num_features; eps momentum track_running_stats; affine=weight bias=bias;"
    ),
    "LayerNorm": "normalized_shape; eps; elementwise_affine=weight bias=bias;",
    "RMSNorm": "normalized_shape; eps; elementwise_affine=weight;",
    "GroupNorm": "num_groups num_channels; eps; affine=weight bias=bias;",
    "Embedding": (
        "num_embeddings embedding_dim; padding_idx max_norm norm_type scale_grad_by_freq sparse;; weight"
    ),
    "EmbeddingBag": (
        "num_embeddings embedding_dim; max_norm norm_type scale_grad_by_freq mode sparse include_last_offset"
        " padding_idx;; weight"
    ),
    # The constructor warns about a dropout that has no effect: it is set as an attribute.
    "RNN": "input_size hidden_size; num_layers nonlinearity bidirectional; bias=bias_ih_l0; weight_ih_l0",
    "GRU": "input_size hidden_size; num_layers bidirectional; bias=bias_ih_l0; weight_ih_l0",
    "LSTM": "input_size hidden_size; num_layers bidirectional proj_size; bias=bias_ih_l0; weight_ih_l0",
    "RNNCell": "input_size hidden_size; nonlinearity; bias=bias_ih; weight_ih weight_hh",
    "LSTMCell GRUCell": "input_size hidden_size;; bias=bias_ih; weight_ih weight_hh",
    "MultiheadAttention": "embed_dim num_heads; kdim vdim; bias=in_proj_bias add_bias_kv=bias_k;",
    "PReLU": "; num_parameters init;; weight",
}


def _form(text: str) -> Form:
    needed, options, flags, parameters = (part.split() for part in text.split(";"))
    pairs = dict(flag.split("=", 1) for flag in flags)
    return Form(tuple(needed), tuple(options), pairs, tuple(parameters))


LAYERS: Final[dict[str, Form]] = {
    name: _form(form) for names, form in _FORMS.items() for name in names.split()
}

# Their children come from the file, so they are made without calling their constructors.
NESTS: Final = names_in(
    "AdaptiveLogSoftmaxWithLoss Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder"
    " TransformerEncoderLayer"
)

CONTAINERS: Final = names_in("Sequential ModuleList ModuleDict ParameterList ParameterDict")

# Layers without parameters.
_PLAIN: Final = names_in(
    "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d"
    " AdaptiveMaxPool3d AlphaDropout AvgPool1d AvgPool2d AvgPool3d CELU ChannelShuffle CircularPad1d"
    " CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d CosineSimilarity CrossMapLRN2d"
    " Dropout Dropout1d Dropout2d Dropout3d ELU FeatureAlphaDropout Flatten Fold FractionalMaxPool2d"
    " FractionalMaxPool3d GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh Identity LPPool1d LPPool2d"
    " LPPool3d LeakyReLU LocalResponseNorm LogSigmoid LogSoftmax MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d"
    " MaxUnpool2d MaxUnpool3d Mish PairwiseDistance PixelShuffle PixelUnshuffle RReLU ReLU ReLU6"
    " ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d"
    " SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus Softshrink Softsign Tanh Tanhshrink Threshold"
    " Unflatten Unfold Upsample UpsamplingBilinear2d UpsamplingNearest2d ZeroPad1d ZeroPad2d ZeroPad3d"
)

KNOWN: Final = frozenset(LAYERS) | NESTS | CONTAINERS | _PLAIN | {BLOCK}

# What weight norm, spectral norm, pruning and ``parametrize`` leave in the place of a weight.
_PARTS: Final = ("_g", "_v", "_u", "_orig", "_mask")


def own_name(class_name: str) -> str | None:
    """The name in ``torch.nn`` of a class of the table, given with its module; None for any other."""
    if not class_name.startswith(_PREFIX):
        return None
    short = class_name.rsplit(".", 1)[-1]
    return short if short in KNOWN else None


def public_name(class_name: str) -> str:
    """A class as people write it: ``torch.nn.Linear``, others as they are."""
    if class_name.startswith(_PREFIX):
        return "torch.nn." + class_name.rsplit(".", 1)[-1]
    return class_name


def class_matches(written: str, class_name: str) -> bool:
    """Whether a person who writes ``Linear``, ``nn.Linear`` or ``torch.nn.Linear`` means a class.

    Names are compared and nothing else, so a subclass is meant only by its own name.
    """
    name = public_name(class_name)
    written = public_name(written.strip())
    return bool(written) and (name == written or name.endswith("." + written))


def weight_parts(names: object) -> list[str]:
    """Names among `names` that a weight is computed from, rather than being one."""
    if not isinstance(names, list | tuple | dict | set | frozenset):
        return []
    return [
        name
        for name in names
        if isinstance(name, str)
        and any(
            name.endswith(end) and (name.startswith("weight") or (name.startswith("bias") and len(end) > 2))
            for end in _PARTS
        )
    ]
