"""What the names and shapes of a file tell of its layers, and what they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.geometry import contiguous_stride
from paramtui.core.layers import class_matches, layer_class, layers_below, owner_classes, words
from paramtui.core.listing import ITEM, Listing
from paramtui.core.tree import Tree
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


def tree_of(shapes: dict[str, tuple[int, ...]], dtype: str = "float32") -> Tree:
    """A state dict with these names and shapes, each tensor in a storage of its own."""
    listing = Listing("made", "torch-zip")
    for name, shape in shapes.items():
        node = listing.add_node(0, name, ITEM)
        kind = "int64" if name.endswith("num_batches_tracked") else dtype
        listing.add_tensor(node, "tensor", -1, 0, kind, shape, contiguous_stride(shape), 0, 0, False)
    return Tree(listing)


def inferred(shapes: dict[str, tuple[int, ...]]) -> dict[str, str]:
    """Class of each layer of a state dict, by name."""
    recipe = layers_below(tree_of(shapes), 0)
    return {block.name: block.class_name for block in recipe.blocks if block.class_name != "Module"}


def refusal(shapes: dict[str, tuple[int, ...]], dtype: str = "float32") -> str:
    with pytest.raises(ValuesError) as caught:
        layers_below(tree_of(shapes, dtype), 0)
    return str(caught.value)


def norm(name: str, size: int, *, tracked: bool = False) -> dict[str, tuple[int, ...]]:
    names = ["weight", "bias"] + ["running_mean", "running_var"] * tracked
    return {f"{name}.{part}": (size,) for part in names}


@pytest.mark.parametrize("name", ["0", "fc1", "layers.3.mlp.gate", "c_fc", "embed", "q_proj", "whatever"])
def test_a_matrix_with_a_bias_of_its_rows_is_a_linear_layer(name: str) -> None:
    shapes: dict[str, tuple[int, ...]] = {f"{name}.weight": (5, 3), f"{name}.bias": (5,)}
    recipe = layers_below(tree_of(shapes), 0)
    assert recipe.blocks[-1].arguments == {"in_features": 3, "out_features": 5, "bias": True}
    assert inferred(shapes) == {name: "Linear"}


@pytest.mark.parametrize(
    "name", ["wte", "wpe", "embed", "tok_embeddings", "embed_tokens", "word_embeddings", "tok_emb", "pos_emb"]
)
def test_a_matrix_alone_is_an_embedding_where_its_name_says_so(name: str) -> None:
    assert inferred({f"model.{name}.weight": (9, 4)}) == {f"model.{name}": "Embedding"}


@pytest.mark.parametrize(
    "name", ["lm_head", "head", "q_proj", "up_proj", "fc1", "linear2", "qkv", "to_q", "wq", "w1", "my_linear"]
)
def test_a_matrix_alone_is_a_linear_layer_where_its_name_says_so(name: str) -> None:
    recipe = layers_below(tree_of({f"a.{name}.weight": (9, 4)}), 0)
    block = recipe.blocks[-1]
    assert (block.class_name, block.arguments["bias"]) == ("Linear", False)


@pytest.mark.parametrize(
    "name", ["0", "x", "embed_out", "unembed", "embed_proj", "gate", "embedding_bag", "memory"]
)
def test_a_matrix_alone_of_another_name_is_refused(name: str) -> None:
    text = refusal({f"a.{name}.weight": (9, 4)})
    if name != "embed_proj":
        assert text.startswith(f"a.{name}: ")
        assert "Embedding" in text


def test_weights_that_transformers_stores_transposed_are_refused() -> None:
    gpt2: dict[str, tuple[int, ...]] = {
        "h.0.attn.c_attn.weight": (4, 12),
        "h.0.attn.c_attn.bias": (12,),
        "h.0.attn.c_proj.weight": (4, 4),
        "h.0.attn.c_proj.bias": (4,),
    }
    assert "h.0.attn.c_attn: " in refusal(gpt2)
    assert "Conv1D" in refusal(gpt2)
    tree = tree_of(gpt2)
    with pytest.raises(ValuesError, match=r"h\.0\.attn\.c_proj: .*Conv1D"):
        layers_below(tree, tree.find("h.0.attn.c_proj")[0])
    # The same names in a file that shows the order [out, in], as nanoGPT's.
    gpt2["h.0.attn.c_attn.weight"] = (12, 4)
    assert set(inferred(gpt2).values()) == {"Linear"}


def test_convolutions_are_told_by_rank_and_a_bias_that_fits_or_a_clear_name() -> None:
    assert inferred({"0.weight": (8, 3, 5, 5), "0.bias": (8,)}) == {"0": "Conv2d"}
    assert inferred({"conv.weight": (8, 8, 5)}) == {"conv": "Conv1d"}
    assert inferred({"conv3.weight": (8, 3, 2, 2, 2)}) == {"conv3": "Conv3d"}
    assert inferred({"a.0.weight": (8, 3, 1, 1)} | norm("a.1", 8, tracked=True)) == {
        "a.0": "Conv2d",
        "a.1": "BatchNorm2d",
    }


@pytest.mark.parametrize(
    "shapes",
    [
        {"up.weight": (8, 8, 2, 2), "up.bias": (8,)},
        {"deconv1.weight": (8, 8, 2, 2)},
        {"convtranspose.weight": (8, 8, 2, 2)},
        {"x.weight": (3, 8, 2, 2), "x.bias": (8,)},
        {"x.weight": (8, 8, 2, 2)},
        {"score.weight": (4, 3, 3), "score.bias": (4,)},
    ],
    ids=str,
)
def test_what_may_be_a_transposed_convolution_or_a_bilinear_layer_is_refused(
    shapes: dict[str, tuple[int, ...]],
) -> None:
    text = refusal(shapes)
    assert text.startswith(next(iter(shapes)).split(".")[0] + ": ")
    assert "transposed" in text or "Bilinear" in text


@pytest.mark.parametrize(
    "name", ["ln_1", "ln_f", "LayerNorm", "layer_norm", "layernorm_before", "norm1", "mlp_norm"]
)
def test_a_layer_norm_is_told_by_its_name(name: str) -> None:
    assert inferred(norm(f"h.{name}", 4)) == {f"h.{name}": "LayerNorm"}


@pytest.mark.parametrize("name", ["0", "scale", "gn1", "group_norm", "bn1", "batch_norm"])
def test_a_norm_of_another_name_is_refused(name: str) -> None:
    assert refusal(norm(f"h.{name}", 4)).startswith(f"h.{name}: ")


def test_a_norm_in_a_file_with_convolutions_may_be_a_group_norm() -> None:
    conv: dict[str, tuple[int, ...]] = {"a.conv.weight": (8, 4, 3, 3), "a.conv.bias": (8,)}
    assert "GroupNorm" in refusal(conv | norm("b.norm", 8))
    assert "GroupNorm" in refusal(conv | norm("a.layer_norm", 8))  # as in Wav2Vec2
    assert inferred(conv | norm("b.layer_norm", 8))["b.layer_norm"] == "LayerNorm"
    patches: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (8, 3, 4, 4),
        "patch_embed.proj.bias": (8,),
    }
    assert inferred(patches | norm("norm", 8))["norm"] == "LayerNorm"


@pytest.mark.parametrize("name", ["norm", "input_layernorm", "rms_norm", "ln"])
def test_a_norm_of_one_weight_is_refused(name: str) -> None:
    text = refusal({f"layers.0.{name}.weight": (4,)})
    assert text.startswith(f"layers.0.{name}: ")
    assert "RMSNorm" in text


def test_the_dimensions_of_a_batch_norm_are_those_of_its_neighbour() -> None:
    linear: dict[str, tuple[int, ...]] = {"0.weight": (8, 3), "0.bias": (8,)}
    assert inferred(linear | norm("1", 8, tracked=True))["1"] == "BatchNorm1d"
    conv: dict[str, tuple[int, ...]] = {"conv.weight": (6, 8, 3, 3, 3), "conv.bias": (6,)}
    assert (
        inferred(norm("bn", 8, tracked=True) | conv)["bn"] == "BatchNorm3d"
    )  # before what it normalises for
    assert refusal(linear | norm("1", 9, tracked=True)).startswith("1: its dimensions cannot be told")
    assert refusal(norm("bn", 9, tracked=True)).startswith("bn: its dimensions cannot be told")


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("options", [{}, {"num_layers": 3, "bidirectional": True}, {"bias": False}], ids=str)
def test_recurrent_layers_are_told_with_all_their_facts(
    save: Save, kind: type[nn.LSTM], options: dict[str, int]
) -> None:
    real = kind(3, 4, **options)
    recipe = layers_below(Tree(open_checkpoint(str(save(real.state_dict()))).listing), 0)
    (block,) = recipe.blocks
    assert block.class_name == kind.__name__
    for name, value in block.arguments.items():
        assert getattr(real, name) == value
    assert {"input_size", "hidden_size", "num_layers", "bias", "bidirectional"} <= set(block.arguments)


def test_recurrent_names_whose_shapes_do_not_fit_are_refused() -> None:
    good: dict[str, tuple[int, ...]] = {"r.weight_ih_l0": (8, 3), "r.weight_hh_l0": (8, 2)}
    assert inferred(good) == {"r": "LSTM"}
    assert refusal(good | {"r.weight_hh_l0": (10, 2)}).startswith("r: ")
    assert refusal(good | {"r.bias_ih_l0": (8,)}).startswith("r: ")
    assert refusal(good | {"r.weight_ih_l999999": (8, 2)}).startswith("r: ")
    assert refusal(good | {"r.weight_ih_l0": (9, 3)}).startswith("r: ")


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_cells_are_told(save: Save, kind: type[nn.LSTMCell]) -> None:
    recipe = layers_below(Tree(open_checkpoint(str(save(kind(3, 4).state_dict()))).listing), 0)
    assert recipe.blocks[0].class_name == kind.__name__


@pytest.mark.parametrize(
    "options", [{}, {"kdim": 3, "vdim": 5}, {"bias": False}, {"add_bias_kv": True}], ids=str
)
def test_attention_is_told_with_its_projection(save: Save, options: dict[str, int]) -> None:
    net = nn.MultiheadAttention(8, 2, **options)
    tree = Tree(open_checkpoint(str(save(net.state_dict()))).listing)
    recipe = layers_below(tree, 0)
    assert [(block.name, block.class_name) for block in recipe.blocks] == [
        (name, type(module).__name__) for name, module in net.named_modules()
    ]
    assert "num_heads" in recipe.blocks[0].untold
    classes = owner_classes(tree, range(len(tree.listing)))
    assert set(classes.values()) == {
        "torch.nn.MultiheadAttention",
        "torch.nn.NonDynamicallyQuantizableLinear",
    }


def test_weights_that_are_computed_from_others_are_refused(save: Save) -> None:
    for net in (
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))),
        nn.Sequential(nn.utils.spectral_norm(nn.Linear(3, 2))),
    ):
        with pytest.raises(ValuesError, match="^0: its weight is computed"):
            layers_below(Tree(open_checkpoint(str(save(net.state_dict()))).listing), 0)
    pruned = nn.Sequential(nn.Linear(3, 2))
    prune.l1_unstructured(pruned[0], "weight", 1)
    for content in (pruned, pruned.state_dict()):
        with pytest.raises(ValuesError, match="^0: .*computed"):
            layers_below(Tree(open_checkpoint(str(save(content))).listing), 0)


def test_parameters_of_a_blocks_own_and_unknown_names_are_refused() -> None:
    linear: dict[str, tuple[int, ...]] = {"blocks.0.fc.weight": (4, 4), "blocks.0.fc.bias": (4,)}
    assert refusal({"cls_token": (1, 1, 4)} | linear).startswith("the whole file: holds cls_token")
    assert refusal(linear | {"blocks.0.gamma": (4,)}).startswith("blocks.0: holds gamma")
    assert refusal(linear | {"blocks.0.fc.lora_A": (4, 1)}).startswith("blocks.0.fc: holds ")
    assert refusal({"q.weight": (4, 4), "q.bias": (4,)}, "int8").startswith("q: ")
    tree = tree_of({"cls_token": (1, 1, 4)} | linear)
    assert len(layers_below(tree, tree.find("blocks")[0]).blocks) == 3


def test_a_layer_with_something_besides_its_tensors_is_refused(save: Save) -> None:
    content = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.ones(2), "fc._extra_state": "x"}
    with pytest.raises(ValuesError, match="^fc: holds _extra_state"):
        layers_below(Tree(open_checkpoint(str(save(content))).listing), 0)


def test_optimizers_and_plain_values_are_passed_over(save: Save) -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    optimizer = torch.optim.AdamW(net.parameters(), lr=torch.tensor(0.1))
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    path = save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3})
    tree = Tree(open_checkpoint(str(path)).listing)
    assert [block.name for block in layers_below(tree, 0).blocks] == ["", "model", "model.0"]
    with pytest.raises(ValuesError, match="^optimizer: holds the state of an optimizer"):
        layers_below(tree, tree.find("optimizer")[0])
    with pytest.raises(ValuesError, match="^model.0.weight: is a tensor"):
        layers_below(tree, tree.find("model.0.weight")[0])


def test_a_whole_module_with_a_layer_of_its_own_class_is_refused_by_name(save: Save) -> None:
    class Noisy(nn.Linear):
        pass

    Noisy.__qualname__ = "Noisy"
    globals()["Noisy"] = Noisy
    try:
        path = save(nn.Sequential(nn.Linear(2, 2), Noisy(2, 2)))
    finally:
        del globals()["Noisy"]
    tree = Tree(open_checkpoint(str(path)).listing)
    with pytest.raises(
        ValuesError, match="^1: holds weight, bias, and its class .*Noisy is none of torch.nn"
    ):
        layers_below(tree, 0)
    assert layer_class(tree, tree.find("0")[0]) == ("Linear", "known")
    assert layer_class(tree, tree.find("1")[0]) == ("Noisy", "known")


def test_a_recurrent_layer_of_a_file_that_tells_a_million_layers_is_refused_at_once(save: Save) -> None:
    net = nn.LSTM(2, 3)
    net.num_layers = 10**9
    with pytest.raises(ValuesError, match="LSTM with 4 weights"):
        layers_below(Tree(open_checkpoint(str(save(net))).listing), 0)


def test_blocks_stand_in_the_order_of_the_file_and_numbers_in_theirs_where_it_is_sorted(
    save: Save, tmp_path: Path
) -> None:
    names = ["layers.0", "layers.2", "layers.10", "b", "a"]
    state = {f"{name}.{part}": torch.ones(2, 2)[0 if part == "bias" else slice(None)].clone()
             for name in names for part in ("weight", "bias")}  # fmt: skip
    recipe = layers_below(Tree(open_checkpoint(str(save(state))).listing, order="name"), 0)
    assert [block.name for block in recipe.blocks] == ["", "layers", *names]
    assert recipe.ordered
    save_file(state, tmp_path / "s.safetensors")
    recipe = layers_below(Tree(open_checkpoint(str(tmp_path / "s.safetensors")).listing), 0)
    assert [block.name for block in recipe.blocks] == ["", "a", "b", "layers", *names[:3]]
    assert not recipe.ordered
    assert "sorted by name" in words(recipe)


def test_a_narrowed_tree_stands_for_the_whole_file(save: Save) -> None:
    listing = open_checkpoint(str(save(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).state_dict()))).listing
    narrowed = Tree(listing, tensors=listing.ids_named("1.weight"), values=[])
    (row,) = narrowed.find("1")
    (block,) = layers_below(narrowed, row).blocks
    assert block.arguments["bias"] is True
    assert layer_class(narrowed, row) == ("Linear", "inferred")
    assert owner_classes(narrowed, [0, 3]) == {0: "torch.nn.Linear", 3: "torch.nn.Linear"}


def test_words_say_how_the_classes_are_known(save: Save) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    assert (
        words(layers_below(Tree(open_checkpoint(str(save(net))).listing), 0)) == "classes known from the file"
    )
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (3, 2), "fc.weight": (2, 2), "fc.bias": (2,)}
    assert words(layers_below(tree_of(shapes), 0)) == (
        "2 layers inferred from names and shapes: Embedding x1, Linear x1"
    )
    shared = nn.Sequential(net[0], net[0]).state_dict()
    assert "taken for one used again" in words(
        layers_below(Tree(open_checkpoint(str(save(shared))).listing), 0)
    )


@pytest.mark.parametrize(
    "written", ["Linear", "nn.Linear", "torch.nn.Linear", "torch.nn.modules.linear.Linear"]
)
def test_a_class_is_meant_by_any_of_its_names_and_by_no_part_of_one(written: str) -> None:
    assert class_matches(written, "torch.nn.Linear")
    assert class_matches(written, "torch.nn.modules.linear.Linear")
    for other in ("torch.nn.Bilinear", "torch.nn.NonDynamicallyQuantizableLinear", "torch.nn.LazyLinear"):
        assert not class_matches(written, other)
    assert class_matches("Linear", "project.Linear")
    assert not class_matches("nn.Linear", "project.Linear")
    assert not class_matches("", "torch.nn.Linear")


def test_owners_of_a_whole_module_are_its_classes(save: Save) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    tree = Tree(open_checkpoint(str(save(net))).listing)
    found = owner_classes(tree, range(len(tree.listing)))
    expected = {f"{name}.{part}": f"torch.nn.{type(module).__name__}"
                for name, module in net.named_children() for part in module.state_dict()}  # fmt: skip
    assert {tree.listing.names[tensor]: name for tensor, name in found.items()} == expected
