"""Tells a layer's class from the names and shapes of its tensors, where only one class can be meant.

A state dict holds names and shapes alone. Each rule below gives a class of ``torch.nn`` or raises with the
reason why the class cannot be told; a wrong class would be worse than none. What a state dict does not tell
of a layer (the stride of a convolution, the eps of a norm) is named as untold, never made up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from paramtui.core.layer_sight import GPT2_NAMES, STATISTICS, words_in
from paramtui.core.layer_table import OUT_PROJECTION, names_in, weight_parts
from paramtui.core.text import safe_text, shape_text
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paramtui.core.geometry import Shape
    from paramtui.core.layer_sight import Sight

_EMBEDDING: Final = frozenset({"emb", "embed", "embeds", "embedding", "embeddings", "wte", "wpe", "tok"})
_NOT_EMBEDDING: Final = frozenset(
    {"proj", "projection", "linear", "out", "head", "un", "unembed", "bag", "patch"}
)
_LINEAR: Final = names_in(
    "head proj projection linear fc ffn qkv query key value dense classifier wq wk wv wo output lin"
)
_LINEAR_NAMES: Final = re.compile(r"w[123]|to_(q|k|v|qkv|kv|out)|fc\d*|[a-z_]*linear\d*|c_(attn|proj|fc)")
_TRANSPOSED: Final = names_in(
    "up ups upsample upsampling upsampler upconv unpool deconv deconvs transpose transposed tconv convt"
    " convtranspose"
)
_OTHER_NORMS: Final = names_in("group gn instance in batch bn rms weight spectral layerscale")
_RECURRENT: Final = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)_l(\d{1,6})(_reverse)?")
_CELL: Final = frozenset({"weight_ih", "weight_hh", "bias_ih", "bias_hh"})
_ATTENTION: Final = names_in(
    "in_proj_weight in_proj_bias q_proj_weight k_proj_weight v_proj_weight bias_k bias_v"
)
_BY_RATIO: Final = {1: "RNN", 3: "GRU", 4: "LSTM"}

_CONV_UNTOLD: Final = ("in_channels", "groups", "stride", "padding", "dilation", "padding_mode")
_EMBEDDING_UNTOLD: Final = ("max_norm", "norm_type", "scale_grad_by_freq", "sparse")


class Found(NamedTuple):
    """A layer's class as far as names and shapes tell it.

    Attributes:
        class_name: Of the table.
        arguments: Of its constructor.
        untold: Attributes that such a layer has and the file does not tell.
    """

    class_name: str
    arguments: Mapping[str, object]
    untold: tuple[str, ...] = ()


def infer(sight: Sight, row: int) -> Found:
    """The class of a layer that holds tensors of its own.

    Raises:
        ValuesError: It cannot be told; the message names the layer and says why.
    """
    above = sight.tree.parent[row]
    if above >= 0 and sight.tree.label[row] == "out_proj" and not sight.is_module(above):
        around = set(sight.own(above))
        if around and around <= _ATTENTION and infer(sight, above).class_name == "MultiheadAttention":
            rows, columns = _pair(sight.shapes(row)["weight"])
            arguments = {"in_features": columns, "out_features": rows, "bias": "bias" in sight.own(row)}
            return Found(OUT_PROJECTION, arguments)
    return _Layer(sight, row).found()


class _Layer:
    """One block with tensors of its own."""

    def __init__(self, sight: Sight, row: int) -> None:
        self.sight = sight
        self.row = row
        self.own = sight.own(row)
        self.shapes = sight.shapes(row)
        self.names = set(self.own)
        self.name = sight.name_for(row)
        self.words = words_in(self.name)

    def refuse(self, reason: str) -> NoReturn:
        raise ValuesError(reason, where=self.sight.where(self.row))

    def found(self) -> Found:
        sight, names = self.sight, self.names
        blocks = sight.blocks(self.row)
        labels = [sight.tree.label[block] for block in blocks]
        parts = weight_parts(names)
        if parts or "parametrizations" in labels:
            parts = parts or ["parametrizations"]
            self.refuse(f"its weight is computed from others ({', '.join(map(safe_text, parts[:4]))})")
        if names <= _ATTENTION and labels == ["out_proj"]:
            return self._attention(blocks[0])
        if blocks:
            self._refuse_own("besides the blocks below it")
        self._refuse_values()
        if all(_RECURRENT.fullmatch(name) for name in names):
            return self._recurrent()
        if {"weight_ih", "weight_hh"} <= names <= _CELL:
            return self._cell()
        if names >= set(STATISTICS) and names <= {"weight", "bias", "num_batches_tracked", *STATISTICS}:
            return self._batch_norm()
        if "weight" not in names or not names <= {"weight", "bias"}:
            self._refuse_own("which no layer of torch.nn that can be told has")
        if not all(map(sight.is_floating, self.own.values())):
            self.refuse(f"its weight is of type {safe_text(sight.listing.dtype[self.own['weight']])}")
        if any(size is None or size < 1 for shape in self.shapes.values() for size in shape):
            self.refuse("its tensors hold no numbers, so their shapes tell too little")
        return self._by_rank()

    def _refuse_own(self, rest: str) -> NoReturn:
        shown = ", ".join(safe_text(name, 60) for name in sorted(self.names)[:4])
        more = ", …" if len(self.names) > 4 else ""
        self.refuse(f"holds {shown}{more} {rest}, and names and shapes do not tell its class")

    def _refuse_values(self) -> None:
        """A layer of torch.nn keeps nothing but tensors in a state dict."""
        tree = self.sight.tree
        for child in tree.children(self.row):
            if tree.tensor[child] < 0:
                self.refuse(
                    f"holds {safe_text(tree.label[child], 60)} besides its tensors, so names and shapes do"
                    " not tell its class"
                )

    def _by_rank(self) -> Found:
        weight, bias = self.shapes["weight"], self.shapes.get("bias")
        if len(weight) in (3, 4, 5) and bias != weight:
            return self._convolution()
        if bias is not None and bias == weight:
            return self._layer_norm()
        if len(weight) == 2:
            return self._linear() if bias is not None else self._matrix()
        if len(weight) == 1 and bias is None:
            self.refuse(
                f"one weight {shape_text(weight)} can be of an RMSNorm, a LayerNorm without bias, a PReLU, or"
                " a class of the model's own"
            )
        return self.refuse(f"no layer of torch.nn has {self._shapes_text()}")

    def _shapes_text(self) -> str:
        return " and ".join(f"{safe_text(name)} {shape_text(shape)}" for name, shape in self.shapes.items())

    def _linear(self) -> Found:
        rows, columns = self.shapes["weight"]
        bias = self.shapes["bias"]
        if bias != (rows,):
            if bias == (columns,):
                self.refuse(
                    f"its bias {shape_text(bias)} fits the second dimension of its weight"
                    f" {shape_text(self.shapes['weight'])}: transformers' Conv1D stores [in, out], which is"
                    " not torch.nn.Linear"
                )
            self.refuse(f"no layer of torch.nn has {self._shapes_text()}")
        if rows == columns and self.sight.tree.label[self.row] in GPT2_NAMES and self.sight.gpt2_transposed:
            self.refuse(
                "its square weight can be of torch.nn.Linear or of transformers' Conv1D, which stores"
                " [in, out]"
            )
        return Found("Linear", {"in_features": columns, "out_features": rows, "bias": True})

    def _matrix(self) -> Found:
        rows, columns = self.shapes["weight"]
        words = set(self.words)
        name = self.name.lower()
        embedding = bool(words & _EMBEDDING) and not words & _NOT_EMBEDDING
        linear = bool(words & _LINEAR) or _LINEAR_NAMES.fullmatch(name) is not None
        if embedding and not linear:
            return Found("Embedding", {"num_embeddings": rows, "embedding_dim": columns}, _EMBEDDING_UNTOLD)
        if linear and not words & (_EMBEDDING | {"bag"}):
            return Found("Linear", {"in_features": columns, "out_features": rows, "bias": False})
        return self.refuse(
            f"one weight {shape_text(self.shapes['weight'])} can be of a Linear without bias or of an"
            " Embedding, and its name does not tell which"
        )

    def _convolution(self) -> Found:
        weight, bias = self.shapes["weight"], self.shapes.get("bias")
        out, inner = (int(size or 0) for size in weight[:2])
        around = self.sight.words_around(self.row)
        upward = bool(around & _TRANSPOSED) or any("deconv" in word or "transpose" in word for word in around)
        named = any(word.startswith("conv") or word.endswith("conv") for word in around)
        told = named
        if bias is not None and bias != (out,):
            if bias == (inner,) or len(bias) == 1:
                self.refuse(
                    f"its bias {shape_text(bias)} does not fit the first dimension of its weight"
                    f" {shape_text(weight)}, so it is no plain convolution (perhaps a transposed one)"
                )
            self.refuse(f"no layer of torch.nn has {self._shapes_text()}")
        follower = self.sight.neighbours(self.row)[2] if self._in_order() else -1
        normed = follower >= 0 and self.sight.shapes(follower).get("running_mean") == (out,)
        if (bias is not None or normed) and out % inner:
            upward, told = False, True  # a transposed one has a multiple of the second dimension
        if upward:
            self.refuse(f"its weight {shape_text(weight)} can be of a convolution or of a transposed one")
        # A Bilinear takes two inputs, so it is never numbered within a Sequential.
        if len(weight) == 3 and not (named or normed or self.sight.tree.label[self.row].isdigit()):
            self.refuse(f"its weight {shape_text(weight)} can be of a Conv1d or of a Bilinear")
        if not (told or bias is not None or (normed and out != inner)):
            self.refuse(
                f"one weight {shape_text(weight)} can be of a convolution, of a transposed one, or of a class"
                " of the model's own"
            )
        rank = len(weight) - 2
        arguments = {
            "in_channels": inner,
            "out_channels": out,
            "kernel_size": tuple(weight[2:]),
            "bias": bias is not None,
        }
        return Found(f"Conv{rank}d", arguments, _CONV_UNTOLD)

    def _layer_norm(self) -> Found:
        sight = self.sight
        words = set(self.words)
        together = "".join(self.words)
        other = (
            words & _OTHER_NORMS
            or "rmsnorm" in together
            or "groupnorm" in together
            or "batchnorm" in together
        )
        if other:
            self.refuse(f"{self._shapes_text()} under this name need not be a LayerNorm")
        if "layernorm" in together or "ln" in words:
            # Wav2Vec2 calls a GroupNorm that stands beside a convolution layer_norm.
            if any(len(shape) >= 3 for shape in self._weights_beside()):
                self.refuse(
                    f"{self._shapes_text()} beside a convolution can be of a GroupNorm or of a LayerNorm"
                )
        elif any(word.endswith("norm") for word in words):
            if sight.convolved:
                self.refuse(
                    f"{self._shapes_text()} can be of a GroupNorm or of a LayerNorm, since the file also"
                    " holds convolutions"
                )
        else:
            self.refuse(
                f"{self._shapes_text()} can be of a LayerNorm, a GroupNorm, or a BatchNorm without"
                " statistics, and its name does not tell which"
            )
        return Found("LayerNorm", {"normalized_shape": tuple(self.shapes["weight"])}, ("eps",))

    def _weights_beside(self) -> list[Shape]:
        tree = self.sight.tree
        if not self.row:
            return []
        found = [
            self.sight.own(other).get("weight") for other in self.sight.neighbours(self.row)[:2] if other >= 0
        ]
        rows = [tree.row_of(tensor) for tensor in found if tensor is not None]
        return [self.sight.listing.shape[tree.tensor[row]] for row in rows if row is not None]

    def _batch_norm(self) -> Found:
        channels = self.shapes["running_mean"]
        named = [self.shapes[name] for name in ("weight", "bias", "running_var") if name in self.shapes]
        if len(channels) != 1 or any(shape != channels for shape in named):
            self.refuse(f"no layer of torch.nn has {self._shapes_text()}")
        if ("weight" in self.names) != ("bias" in self.names):
            self.refuse("it has a weight or a bias, and a BatchNorm of a state dict has both or neither")
        if set(self.words) & {"instance", "in"} or "instancenorm" in "".join(self.words):
            self.refuse("it can be an InstanceNorm that tracks statistics, or a BatchNorm")
        rank = 0
        if self._in_order():
            before, after, _ = self.sight.neighbours(self.row)
            rank = self._rank_beside(before, channels, 0) or self._rank_beside(after, channels, 1)
        else:
            ranks = self.sight.ranks_beside(self.row).get(channels[0] or 0, set())
            rank = next(iter(ranks)) if len(ranks) == 1 else 0
        if not rank:
            self.refuse(
                f"its dimensions cannot be told: no convolution or linear layer of {channels[0]} channels"
                " stands beside it, so it can be a BatchNorm1d, 2d or 3d"
            )
        arguments: dict[str, object] = {"num_features": channels[0], "affine": "weight" in self.names}
        return Found(f"BatchNorm{rank}d", arguments, ("eps", "momentum"))

    def _in_order(self) -> bool:
        """Whether the neighbours of the file are those of the model; numbers are put in order in any file."""
        tree = self.sight.tree
        return tree.label[self.row].isdigit() or not self.sight.is_sorted(self.row)

    def _rank_beside(self, row: int, channels: Shape, place: int) -> int:
        """Dimensions of pictures in a neighbouring layer of these channels; 0 if it does not fit."""
        if row < 0:
            return 0
        try:
            neighbour = infer(self.sight, row).class_name
        except ValuesError:
            return 0
        weight = self.sight.shapes(row).get("weight", ())
        if not neighbour.startswith(("Conv", "Linear")) or weight[place : place + 1] != channels:
            return 0
        return max(len(weight) - 2, 1)

    def _recurrent(self) -> Found:
        shapes, names = self.shapes, self.names
        layers = {int(match[2]) for name in names if (match := _RECURRENT.fullmatch(name))}
        both = any(name.endswith("_reverse") for name in names)
        bias = "bias_ih_l0" in names
        projected = "weight_hr_l0" in names
        kinds = [
            "weight_ih",
            "weight_hh",
            *(("bias_ih", "bias_hh") if bias else ()),
            *(["weight_hr"] * projected),
        ]
        count = len(layers)
        directions = ("", "_reverse") if both else ("",)
        # The count comes first: a file can name a million layers.
        if len(names) != count * len(kinds) * len(directions) or max(layers) != count - 1:
            self.refuse("its names are not those of an RNN, LSTM or GRU of torch.nn")
        expected = {f"{kind}_l{layer}{way}" for layer in range(count) for kind in kinds for way in directions}
        if names != expected or any(len(shapes[name]) != (2 if "weight" in name else 1) for name in names):
            self.refuse("its names are not those of an RNN, LSTM or GRU of torch.nn")
        gates, given = _pair(shapes["weight_hh_l0"])
        hidden = _pair(shapes["weight_hr_l0"])[1] if projected else given
        inputs = _pair(shapes["weight_ih_l0"])[1]
        ratio = gates // hidden if hidden and gates % hidden == 0 else 0
        if ratio not in _BY_RATIO or (projected and ratio != 4):
            self.refuse(
                f"its shapes are not those of an RNN, LSTM or GRU: weight_hh_l0 is {gates} by {given}"
            )
        for name in names:
            layer = int(_RECURRENT.fullmatch(name)[2])  # type: ignore[index]
            wanted: Shape = (gates,)
            if name.startswith("weight_ih"):
                wanted = (gates, given * len(directions) if layer else inputs)
            elif name.startswith("weight_hh"):
                wanted = (gates, given)
            elif name.startswith("weight_hr"):
                wanted = (given, hidden)
            if shapes[name] != wanted:
                self.refuse(f"its {name} is {shape_text(shapes[name])}, where {shape_text(wanted)} would fit")
        arguments: dict[str, object] = {"input_size": inputs, "hidden_size": hidden, "num_layers": count}
        arguments |= {"bias": bias, "bidirectional": both}
        if projected:
            arguments["proj_size"] = given
        kind = _BY_RATIO[ratio]
        more = ("nonlinearity", "mode") if kind == "RNN" else ()
        return Found(kind, arguments, ("batch_first", "dropout", *more))

    def _cell(self) -> Found:
        shapes = self.shapes
        weights = (shapes["weight_ih"], shapes["weight_hh"])
        gates, hidden = _pair(weights[1])
        ratio = gates // hidden if hidden and gates % hidden == 0 else 0
        biases = [shapes[name] for name in ("bias_ih", "bias_hh") if name in self.names]
        fits = all(len(shape) == 2 and shape[0] == gates for shape in weights)
        if ratio not in _BY_RATIO or not fits or len(biases) == 1 or any(s != (gates,) for s in biases):
            self.refuse("its shapes are not those of an RNNCell, LSTMCell or GRUCell")
        arguments = {"input_size": weights[0][1], "hidden_size": hidden, "bias": bool(biases)}
        kind = _BY_RATIO[ratio]
        return Found(f"{kind}Cell", arguments, ("nonlinearity",) if kind == "RNN" else ())

    def _attention(self, below: int) -> Found:
        shapes, names = self.shapes, self.names
        out = self.sight.shapes(below)
        width = _pair(out.get("weight", ()))[0]
        square = (width, width)
        whole = shapes.get("in_proj_weight")
        keys, values = _pair(shapes.get("k_proj_weight", ())), _pair(shapes.get("v_proj_weight", ()))
        apart = shapes.get("q_proj_weight") == square and keys[0] == values[0] == width
        biased = "in_proj_bias" in names
        fits = [
            width > 0
            and out.get("weight") == square
            and set(out) <= {"weight", "bias"}
            and not self.sight.blocks(below),
            (whole == (3 * width, width) and len(names & {"k_proj_weight", "v_proj_weight"}) == 0)
            or (whole is None and apart),
            not biased or shapes["in_proj_bias"] == (3 * width,),
            ("bias" in out) == biased and ("bias_k" in names) == ("bias_v" in names),
        ]
        if not all(fits):
            self.refuse("its names are those of a MultiheadAttention, and its shapes are not")
        arguments: dict[str, object] = {"embed_dim": width, "bias": biased, "add_bias_kv": "bias_k" in names}
        if apart:
            arguments |= {"kdim": keys[1], "vdim": values[1]}
        untold = ("num_heads", "head_dim", "dropout", "batch_first", "add_zero_attn")
        return Found("MultiheadAttention", arguments, untold)


def _pair(shape: Shape) -> tuple[int, int]:
    return (int(shape[0] or 0), int(shape[1] or 0)) if len(shape) == 2 else (0, 0)
