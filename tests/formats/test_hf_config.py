"""What a ``config.json`` of Transformers declares of the files beside it, and how they contradict it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from paramtui.checkpoints.hf_config import find_match
from tests.formats.declaring import CONFIG, config, ghost_rows, ghosts, language_model, problems, saved
from tests.support import opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_tied_head_is_a_ghost_of_the_embedding(tmp_path: Path) -> None:
    listing = saved(tmp_path, language_model(head=False), tie_word_embeddings=True)
    assert ghosts(listing) == {"lm_head.weight": "model.embed_tokens.weight"}
    assert ghost_rows(listing) == {"lm_head.weight": "= model.embed_tokens.weight (declared by config.json)"}
    assert listing.warnings == []


def test_the_directory_and_the_index_declare_what_their_configuration_says(tmp_path: Path) -> None:
    state = language_model(head=False)
    names = list(state)
    weight_map: dict[str, str] = {}
    for place, part in enumerate((names[:1], names[1:]), start=1):
        file = f"model-0000{place}-of-00002.safetensors"
        save_file({name: state[name] for name in part}, tmp_path / file)
        weight_map |= dict.fromkeys(part, file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    config(tmp_path, tie_word_embeddings=True)
    for target in (tmp_path, index):
        assert ghosts(opened(target).listing) == {"lm_head.weight": "model.embed_tokens.weight"}
    # The head could lie in another shard than the one that is opened, or in one that is lost.
    assert opened(tmp_path / "model-00001-of-00002.safetensors").listing.declared == []
    os.unlink(tmp_path / "model-00002-of-00002.safetensors")
    assert opened(tmp_path).listing.declared == []


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_state_dict_inside_a_torch_file_gets_its_ghost_beside_its_names(tmp_path: Path, key: str) -> None:
    torch.save({"epoch": 3, key: language_model(head=False)}, tmp_path / "last.pt")
    config(tmp_path, tie_word_embeddings=True)
    listing = opened(tmp_path / "last.pt").listing
    assert ghosts(listing) == {f"{key}.lm_head.weight": f"{key}.model.embed_tokens.weight"}


def test_a_prefix_before_all_names_stands_before_the_ghost_too(tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in language_model(head=False).items()}
    listing = saved(tmp_path, state, tie_word_embeddings=True)
    assert ghosts(listing) == {"module.lm_head.weight": "module.model.embed_tokens.weight"}


def test_what_a_model_type_means_without_a_word_is_declared_by_its_default(tmp_path: Path) -> None:
    state = {"transformer.wte.weight": torch.ones(6, 4), "transformer.wpe.weight": torch.ones(3, 4)}
    listing = saved(tmp_path, state, model_type="gpt2", architectures=["GPT2LMHeadModel"])
    assert ghosts(listing) == {"lm_head.weight": "transformer.wte.weight"}
    assert "the default of gpt2 models" in str(ghost_rows(listing)["lm_head.weight"])


@pytest.mark.parametrize(
    "fields",
    [
        {"model_type": "llama"},
        {"model_type": "gpt2", "architectures": ["GPT2Model"]},
        {"model_type": "gpt2", "architectures": ["GPT2ForSequenceClassification"]},
        {"model_type": "gpt2", "architectures": []},
        {"model_type": "gpt2", "architectures": None},
        {"model_type": "gpt2", "architectures": ["LlavaForConditionalGeneration"], "text_config": {}},
        {"tie_word_embeddings": "yes", "architectures": ["LlamaModel"]},
        {"tie_word_embeddings": True, "text_config": {"tie_word_embeddings": False}},
    ],
)
def test_what_is_not_clearly_said_is_not_declared(tmp_path: Path, fields: dict[str, object]) -> None:
    listing = saved(tmp_path, language_model(head=False), **fields)
    assert listing.declared == []
    assert listing.warnings == []


@pytest.mark.parametrize(
    "fields",
    [
        {"tie_word_embeddings": None},
        {"tie_word_embeddings": "yes"},
        {"tie_word_embeddings": 1},
        {"text_config": {"model_type": "llama", "tie_word_embeddings": "yes"}},
    ],
)
def test_a_flag_that_is_neither_true_nor_false_is_said(tmp_path: Path, fields: dict[str, object]) -> None:
    listing = saved(tmp_path, language_model(head=False), **fields)
    assert listing.declared == []
    assert listing.warnings == ["config.json: tie_word_embeddings is neither true nor false: not looked at"]
    # Beside weights that it cannot speak of it does not matter.
    assert saved(tmp_path, {"conv.weight": torch.ones(3)}, **fields).warnings == []


def test_a_nested_configuration_counts(tmp_path: Path) -> None:
    names = {"model.language_model.embed_tokens.weight": torch.ones(6, 4)}
    listing = saved(
        tmp_path,
        names,
        model_type="qwen2_vl",
        architectures=["Qwen2VLForConditionalGeneration"],
        text_config={"model_type": "qwen2_vl_text", "tie_word_embeddings": True},
    )
    assert ghosts(listing) == {"lm_head.weight": "model.language_model.embed_tokens.weight"}


# What `save_pretrained` of Transformers 5.24 leaves out of files of small models, and what else of
# them counts.
LEFT_OUT = {
    "bert": (
        "BertForMaskedLM",
        ["bert.embeddings.word_embeddings.weight", "cls.predictions.bias"],
        ["cls.predictions.decoder.weight", "cls.predictions.decoder.bias"],
    ),
    "roberta": (
        "RobertaForMaskedLM",
        ["roberta.embeddings.word_embeddings.weight", "lm_head.bias", "lm_head.dense.weight"],
        ["lm_head.decoder.weight", "lm_head.decoder.bias"],
    ),
    "distilbert": (
        "DistilBertForMaskedLM",
        ["distilbert.embeddings.word_embeddings.weight", "vocab_projector.bias"],
        ["vocab_projector.weight"],
    ),
    "t5": (
        "T5ForConditionalGeneration",
        ["shared.weight"],
        ["lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"],
    ),
    "bart": (
        "BartForConditionalGeneration",
        ["model.shared.weight", "final_logits_bias"],
        ["lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"],
    ),
    "opt": ("OPTForCausalLM", ["model.decoder.embed_tokens.weight"], ["lm_head.weight"]),
    "whisper": (
        "WhisperForConditionalGeneration",
        ["model.decoder.embed_tokens.weight", "model.encoder.conv1.weight"],
        ["proj_out.weight"],
    ),
    "mamba": ("MambaForCausalLM", ["backbone.embeddings.weight"], ["lm_head.weight"]),
    "xlnet": ("XLNetLMHeadModel", ["transformer.word_embedding.weight", "lm_loss.bias"], ["lm_loss.weight"]),
    "electra": (
        "ElectraForMaskedLM",
        ["electra.embeddings.word_embeddings.weight", "generator_lm_head.bias"],
        ["generator_lm_head.weight"],
    ),
}


@pytest.mark.parametrize("model_type", LEFT_OUT)
def test_ghosts_are_what_transformers_leaves_out(tmp_path: Path, model_type: str) -> None:
    architecture, stored, left_out = LEFT_OUT[model_type]
    state = {name: torch.ones(2) for name in stored}
    listing = saved(tmp_path, state, model_type=model_type, architectures=[architecture])
    assert sorted(ghosts(listing)) == sorted(left_out)


def test_a_head_without_its_bias_in_the_file_is_none(tmp_path: Path) -> None:
    state = {"bert.embeddings.word_embeddings.weight": torch.ones(6, 4)}
    listing = saved(tmp_path, state, model_type="bert", architectures=["BertForMaskedLM"])
    assert listing.declared == []


def test_two_models_in_one_state_dict_are_not_told_apart() -> None:
    names = {"talker.model.embed_tokens.weight", "thinker.model.embed_tokens.weight"}
    assert find_match(names, "qwen") is None


def test_a_torch_file_that_keeps_a_tied_head_contradicts_nothing(tmp_path: Path) -> None:
    state = language_model(head=False)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    torch.save(state, tmp_path / "pytorch_model.bin")
    config(tmp_path, tie_word_embeddings=True)
    listing = opened(tmp_path).listing
    assert listing.declared == []
    assert listing.warnings == []


def test_a_tied_head_that_is_stored_with_numbers_of_its_own_is_said(tmp_path: Path) -> None:
    listing = saved(tmp_path, language_model(head=True), tie_word_embeddings=True)
    (declared,) = listing.declared
    assert listing.names[declared.tensor] == "model.embed_tokens.weight"
    assert [listing.names[tensor] for tensor in declared.stored] == ["lm_head.weight"]
    assert "ties lm_head.weight to model.embed_tokens.weight, but the file stores both" in declared.problem
    (warning,) = listing.warnings
    assert warning.startswith(declared.problem)
    assert warning.endswith("; compare them")


def test_tied_tensors_of_different_shapes_are_said(tmp_path: Path) -> None:
    listing = saved(tmp_path, language_model(head=True, rows=7), tie_word_embeddings=True)
    (problem,) = problems(listing)
    assert problem == (
        "config.json ties lm_head.weight to model.embed_tokens.weight, but the file stores both,"
        " of shapes [7, 4] and [6, 4]"
    )


def test_a_head_that_is_not_tied_and_missing_is_said(tmp_path: Path) -> None:
    listing = saved(tmp_path, language_model(head=False), tie_word_embeddings=False)
    assert problems(listing) == ["config.json says that lm_head.weight is not tied, but the file has none"]
    assert listing.warnings == problems(listing)
    assert ghosts(listing) == {}


def test_a_head_that_is_not_tied_and_stored_is_as_it_should_be(tmp_path: Path) -> None:
    listing = saved(tmp_path, language_model(head=True), tie_word_embeddings=False)
    assert listing.declared == []
    assert listing.warnings == []


def test_a_quantised_head_is_not_missing(tmp_path: Path) -> None:
    state = language_model(head=False) | {"lm_head.qweight": torch.ones(4, dtype=torch.int32)}
    assert saved(tmp_path, state, tie_word_embeddings=False).declared == []
    assert saved(tmp_path, state, tie_word_embeddings=True).declared == []


def test_a_head_that_is_said_not_to_be_tied_and_is_the_same_memory_is_said(tmp_path: Path) -> None:
    state = language_model(head=False)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    torch.save(state, tmp_path / "pytorch_model.bin")
    config(tmp_path, tie_word_embeddings=False)
    (problem,) = problems(opened(tmp_path).listing)
    assert problem == (
        "config.json says that lm_head.weight is not tied, but it is the same memory as"
        " model.embed_tokens.weight"
    )


def test_a_header_and_a_configuration_that_disagree_are_said(tmp_path: Path) -> None:
    save_file(
        language_model(head=False),
        tmp_path / "model.safetensors",
        metadata={"lm_head.weight": "model.embed_tokens.weight"},
    )
    config(tmp_path, tie_word_embeddings=False)
    listing = opened(tmp_path / "model.safetensors").listing
    assert ghosts(listing) == {"lm_head.weight": "model.embed_tokens.weight"}
    (problem,) = problems(listing)
    assert problem == (
        "config.json says that lm_head.weight is not tied, but the header says that it is"
        " model.embed_tokens.weight"
    )


@pytest.mark.parametrize("kept", ["lm_head.weight", "model.embed_tokens.weight"])
def test_a_header_and_a_configuration_that_agree_give_one_ghost(tmp_path: Path, kept: str) -> None:
    state = language_model(head=False)
    embedding = state.pop("model.embed_tokens.weight")
    (left_out,) = {"lm_head.weight", "model.embed_tokens.weight"} - {kept}
    save_file({kept: embedding, **state}, tmp_path / "model.safetensors", metadata={left_out: kept})
    config(tmp_path, tie_word_embeddings=True)
    listing = opened(tmp_path / "model.safetensors").listing
    assert ghosts(listing) == {left_out: kept}
    assert len(listing.declared) == 1
    assert listing.warnings == []


def test_false_says_nothing_of_ties_in_the_family_of_t5(tmp_path: Path) -> None:
    state = {"shared.weight": torch.ones(6, 4), "decoder.final_layer_norm.weight": torch.ones(4)}
    fields = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}
    assert saved(tmp_path, state, **fields, tie_word_embeddings=False).declared == []


def test_the_configuration_of_a_base_model_says_nothing_of_an_adapter(tmp_path: Path) -> None:
    save_file(language_model(head=False), tmp_path / "adapter_model.safetensors")
    config(tmp_path, tie_word_embeddings=False)
    assert opened(tmp_path / "adapter_model.safetensors").listing.declared == []


# Files that are no configuration


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b'{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "pad": "')
        file.truncate(1 << 40)


def _texts(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None  # type: ignore[return-value]


GOOD = b'"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": true'


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_fifo, id="fifo"),
        pytest.param(_huge, id="huge"),
        pytest.param(lambda path: path.mkdir(), id="directory"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), id="device"),
        pytest.param(lambda path: path.symlink_to(path), id="circle"),
        pytest.param(_texts(b"{" + GOOD + b', "x": ' + b"[" * 1_000_000), id="deep"),
        pytest.param(_texts(b"{" + GOOD + b', "x": ' + b"9" * 1_000_000 + b"}"), id="long number"),
        pytest.param(_texts(b"[{" + GOOD + b"}]"), id="a list"),
        pytest.param(_texts(b"null"), id="null"),
        pytest.param(_texts(b'{"tie_word_embeddings": true}'), id="something else"),
        pytest.param(_texts(b'{"model_type": [], "architectures": {}}'), id="wrong types"),
        pytest.param(_texts(b'{"model_type": {}, "architectures": [1, null, {}]}'), id="wrong entries"),
        pytest.param(
            _texts(b'{"model_type": ["gpt2"], "architectures": ["GPT2LMHeadModel"], "decoder": {}}'),
            id="a list for a type",
        ),
    ],
)
def test_a_file_that_is_no_configuration_is_passed_over(tmp_path: Path, make: Callable[[Path], None]) -> None:
    save_file(language_model(head=False), tmp_path / "model.safetensors")
    make(tmp_path / CONFIG)
    for target in (tmp_path / "model.safetensors", tmp_path):
        listing = opened(target).listing
        assert len(listing) == 3
        assert listing.declared == []
        assert listing.warnings == []


@pytest.mark.parametrize(
    ("content", "byte"),
    [
        pytest.param(b"", 0, id="empty"),
        pytest.param(b'{"name": "\xc3\xa9", }', 15, id="a comma too much"),
        pytest.param(b'{"x": "\xff"}', 7, id="not UTF-8"),
    ],
)
def test_a_broken_configuration_beside_a_language_model_is_said(
    tmp_path: Path, content: bytes, byte: int
) -> None:
    save_file(language_model(head=False), tmp_path / "model.safetensors")
    (tmp_path / CONFIG).write_bytes(content)
    for target in (tmp_path / "model.safetensors", tmp_path):
        listing = opened(target).listing
        assert listing.declared == []
        assert listing.warnings == [
            f"config.json beside it is broken (byte {byte}): what it declares is not known"
        ]
    save_file({"conv.weight": torch.ones(3)}, tmp_path / "model.safetensors")
    assert opened(tmp_path / "model.safetensors").listing.warnings == []
    save_file(language_model(head=False), tmp_path / "adapter_model.safetensors")
    assert opened(tmp_path / "adapter_model.safetensors").listing.warnings == []


def test_numbers_that_are_no_json_stand_in_real_configurations(tmp_path: Path) -> None:
    save_file(language_model(head=False), tmp_path / "model.safetensors")
    limits = b', "time_step_limit": [0.0, Infinity], "x": NaN}'
    (tmp_path / CONFIG).write_bytes(b"{" + GOOD + limits)
    listing = opened(tmp_path / "model.safetensors").listing
    assert ghosts(listing) == {"lm_head.weight": "model.embed_tokens.weight"}


def test_an_embedding_that_the_header_makes_the_head_contradicts_a_configuration(tmp_path: Path) -> None:
    state = language_model(head=False)
    embedding = state.pop("model.embed_tokens.weight")
    save_file(
        {"lm_head.weight": embedding, **state},
        tmp_path / "model.safetensors",
        metadata={"model.embed_tokens.weight": "lm_head.weight"},
    )
    config(tmp_path, tie_word_embeddings=False)
    listing = opened(tmp_path / "model.safetensors").listing
    assert ghosts(listing) == {"model.embed_tokens.weight": "lm_head.weight"}
    (problem,) = problems(listing)
    assert problem == (
        "config.json says that lm_head.weight is not tied, but the header says that"
        " model.embed_tokens.weight is the same tensor"
    )
