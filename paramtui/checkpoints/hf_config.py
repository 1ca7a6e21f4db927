"""What a ``config.json`` of Hugging Face Transformers says of tied weights, and the names it means.

The names were gathered from `_tied_weights_keys` of all models of Transformers 4.57 and 5.24, the
defaults from their configurations. A configuration that leaves `tie_word_embeddings` out means its
model type's default, and only where both versions give the same one is it taken for said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paramtui.errors import ParamtuiError

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_CONFIG: Final = 4_000_000
FLAG: Final = "tie_word_embeddings"
# `PreTrainedConfig.get_text_config(decoder=True)` looks under these.
_NESTED: Final = ("decoder", "generator", "text_config")

# Architectures with an output head over the vocabulary.
_WITH_HEAD: Final = (
    "ForCausalLM",
    "LMHeadModel",
    "DoubleHeadsModel",
    "ForConditionalGeneration",
    "ForMaskedLM",
    "ForPreTraining",
    "GenerationDecoder",
    "MTModel",
)

# In this family false says that outputs are not scaled, whether or not the head is tied.
_SCALING: Final = frozenset(("t5", "mt5", "umt5", "longt5", "pop2piano", "udop"))

# Model types that are tied unless their configuration says otherwise.
TIED_BY_DEFAULT: Final = frozenset(  # a list of them would be 120 lines long
    """
    albert aya_vision bart bert bert-generation big_bird bigbird_pegasus biogpt blenderbot
    blenderbot-small blip blip_text_model bloom camembert cohere cohere2 convbert cpmant ctrl
    data2vec-text deberta deberta-v2 deepseek_vl deepseek_vl_hybrid distilbert electra ernie ernie4_5
    ernie4_5_moe esm falcon falcon_mamba flaubert flava florence2 fnet funnel gemma gemma2 gemma3
    gemma3_text gemma3n gemma3n_text gpt2 gpt_bigcode gpt_neo gpt_neox_japanese granite_speech ibert
    internvl janus jetmoe kosmos-2 kosmos-2.5 kosmos_2_5_text_model kosmos_2_text_model layoutlm led
    lfm2 longformer longt5 luke lxmert m2m_100 mamba marian mbart megatron-bert mistral3 mobilebert
    modernbert modernbert-decoder moonshine mpnet mpt mra mvp nllb-moe nystromformer openai-gpt opt
    ovis2 paligemma pegasus pegasus_x plbart pop2piano prophetnet recurrent_gemma roberta
    roberta-prelayernorm roc_bert roformer seamless_m4t seamless_m4t_v2 smollm3 speech_to_text
    squeezebert starcoder2 switch_transformers t5 t5_gemma_module t5gemma tapas trocr udop umt5
    vaultgemma visual_bert whisper xglm xlm xlm-roberta xlm-roberta-xl xlnet xmod yoso zamba zamba2
    """.split()  # noqa: SIM905
)


class Claim(NamedTuple):
    """What a configuration says.

    Attributes:
        tied: Whether the output head is the input embedding.
        by: What says so, for a person.
        model_type: Of the model; empty where it is not given.
    """

    tied: bool
    by: str
    model_type: str


class Broken(NamedTuple):
    """A configuration that is no JSON.

    Attributes:
        byte: Where it ceases to be.
    """

    byte: int


class Head(NamedTuple):
    """Output heads of one name, and the input embeddings that they are tied to.

    Attributes:
        output: Name of the head's weight.
        inputs: Names of the embedding, the first that is there counts. Any prefix may stand before
            them, and then stands before the output too; ``*.`` is one more step that the output has
            not, ``^`` a name that has no prefix.
        beside: Names of the head's bias, of which one proves that the head is there; if empty none is needed.
        types: Model types that have it; all if empty.
    """

    output: str
    inputs: tuple[str, ...]
    beside: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


_WORDS: Final = "*.embeddings.word_embeddings.weight"

HEADS: Final = (
    Head(
        "proj_out.weight",
        ("model.decoder.embed_tokens.weight",),
        types=("whisper", "moonshine", "moonshine_streaming", "canary", "cohere_asr"),
    ),
    Head(
        "lm_head.out_proj.weight",
        ("model.decoder.embed_tokens.weight", "model.encoder.text_model.embed_tokens.weight"),
        types=("t5gemma", "t5gemma2"),
    ),
    Head("output_projection.weight", ("model.decoder.embed_tokens.weight",), types=("trocr",)),
    Head("model.decoder.output_projection.weight", ("model.decoder.embed_tokens.weight",), types=("fsmt",)),
    Head("head.decoder.weight", ("model.embed_tokens.weight",), types=("ultrabert",)),
    Head("output_projection.weight", ("biogpt.embed_tokens.weight",)),
    Head("embed_out.weight", ("gpt_neox.embed_in.weight", "gpt_neox_japanese.embed_in.weight")),
    Head("lm_head.weight", ("funnel.embeddings.word_embeddings.weight",)),
    Head("head.weight", ("rwkv.embeddings.weight",)),
    Head(
        "mlm_score.decoder.weight", ("*.text_model.embeddings.word_embeddings.weight",), ("mlm_score.bias",)
    ),
    Head(
        "mlm_score.decoder.weight",
        ("*.embeddings.text_embeddings.word_embeddings.weight",),
        ("mlm_score.bias",),
    ),
    Head(
        "cls.predictions.decoder.weight", (_WORDS,), ("cls.predictions.bias", "cls.predictions.decoder.bias")
    ),
    Head("predictions.decoder.weight", (_WORDS,), ("predictions.bias", "predictions.decoder.bias")),
    Head("lm_head.decoder.weight", (_WORDS,), ("lm_head.bias", "lm_head.decoder.bias")),
    Head("vocab_projector.weight", (_WORDS,), ("vocab_projector.bias",)),
    Head("generator_lm_head.weight", (_WORDS,), ("generator_lm_head.bias",)),
    Head("pred_layer.proj.weight", ("transformer.embeddings.weight",), ("pred_layer.proj.bias",)),
    Head("lm_loss.weight", ("transformer.word_embedding.weight",), ("lm_loss.bias",)),
    Head("decoder.weight", ("model.embeddings.tok_embeddings.weight",), ("decoder.bias",)),
    Head(
        "lm_head.weight",
        (
            "model.language_model.embed_tokens.weight",
            "model.language_model.shared.weight",
            "model.text_model.embed_tokens.weight",
            "model.text_model.embeddings.tok_embeddings.weight",
            "model.shared.weight",
            "led.shared.weight",
            "^shared.weight",
            "model.decoder.embed_tokens.weight",
            "^decoder.embed_tokens.weight",
            "model.embed_tokens.weight",
            "transformer.wte.weight",
            "^wte.weight",
            "transformer.word_embeddings.weight",
            "^word_embeddings.weight",
            "transformer.tokens_embed.weight",
            "^tokens_embed.weight",
            "transformer.w.weight",
            "backbone.embeddings.weight",
            "prophetnet.word_embeddings.weight",
        ),
    ),
)

# Beside an embedding that an encoder and a decoder share, under one prefix.
_SHARED: Final = "shared.weight"
_SHARERS: Final = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")

ENDINGS: Final = tuple(
    sorted(
        {
            name.removeprefix("*.").removeprefix("^")
            for head in HEADS
            for name in (head.output, *head.inputs, *head.beside)
        }.union(_SHARERS)
    )
)
"""How all names end that a search for heads needs to know."""


class Match(NamedTuple):
    """Names of a state dict that are tied.

    Attributes:
        head: The output head, and the input embedding that it is.
        others: Other names that are tied along with it, and what they are.
    """

    head: tuple[str, str]
    others: tuple[tuple[str, str], ...]


def read_config(path: str) -> dict[str, Any] | Broken | None:
    """The configuration at a path; None for a file that cannot be read, is too large or something else."""
    import json

    from paramtui.checkpoints.files import RandomFile

    try:
        with RandomFile(path) as file:
            if file.nbytes > MAX_CONFIG:
                return None
            data = file.read(0, file.nbytes)
        text = data.decode()
        found = json.loads(text)
    except UnicodeDecodeError as error:
        return Broken(error.start)
    except json.JSONDecodeError as error:
        return Broken(len(error.doc[: error.pos].encode()))
    except (ParamtuiError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return found if "model_type" in found or "architectures" in found else None


def claim(config: dict[str, Any]) -> Claim | None:
    """What a configuration says of its output head; None where it says nothing or the model has none."""
    if not _has_head(config):
        return None
    configs = _configs(config)
    flags = [found[FLAG] for found in configs if FLAG in found]
    types = [found.get("model_type") for found in configs]
    model_type = types[0] if isinstance(types[0], str) else ""
    # Versions differ in which of the two counts: they must agree, and so must what one leaves out.
    defaults = [isinstance(kind, str) and kind in TIED_BY_DEFAULT for kind in types]
    if flags and all(flag is True for flag in flags):
        return Claim(tied=True, by="config.json", model_type=model_type)
    if flags and all(flag is False for flag in flags):
        unsaid = [tied for found, tied in zip(configs, defaults, strict=True) if FLAG not in found]
        if any(unsaid) or model_type in _SCALING:
            return None
        return Claim(tied=False, by="config.json", model_type=model_type)
    if not flags and all(defaults):
        return Claim(tied=True, by=f"the default of {model_type} models", model_type=model_type)
    return None


def is_odd(config: dict[str, Any]) -> bool:
    """Whether a model with an output head says neither yes nor no where it says whether that is tied."""
    flags = [found[FLAG] for found in _configs(config) if FLAG in found]
    return _has_head(config) and any(flag is not True and flag is not False for flag in flags)


def _has_head(config: dict[str, Any]) -> bool:
    architectures = config.get("architectures")
    return isinstance(architectures, list) and any(
        isinstance(name, str) and name.endswith(_WITH_HEAD) for name in architectures
    )


def _configs(config: dict[str, Any]) -> list[dict[str, Any]]:
    """A configuration, and the one inside that its text model has."""
    nested = next((config[name] for name in _NESTED if isinstance(config.get(name), dict)), None)
    return [config] if nested is None else [config, nested]


def find_match(names: Collection[str], model_type: str) -> Match | None:
    """The output head that a model has, from names of its state dict; whether it is stored or not.

    Args:
        names: At least those that end as `ENDINGS` say.
        model_type: Of the model.
    """
    for head in HEADS:
        if head.types and model_type not in head.types:
            continue
        for pattern in head.inputs:
            found = [(name, prefix) for name in names if (prefix := _prefix(name, pattern)) is not None]
            if len(found) > 1:
                # Which of two models in one state dict the configuration speaks of is not known.
                return None
            if found:
                name, prefix = found[0]
                beside = [other for other in head.beside if prefix + other in names]
                if beside or not head.beside:
                    return Match((prefix + head.output, name), tuple(_others(head, prefix, name)))
    return None


def _prefix(name: str, pattern: str) -> str | None:
    """What stands before a name of the pattern, up to and with the dot; None for another name."""
    if pattern[0] == "^":
        return "" if name == pattern[1:] else None
    tail = pattern.removeprefix("*.")
    if name != tail and not name.endswith(f".{tail}"):
        return None
    prefix = name[: -len(tail)]
    if tail == pattern:
        return prefix
    outer = prefix[:-1].rpartition(".")[0]
    return f"{outer}." if outer else ""


def _others(head: Head, prefix: str, name: str) -> list[tuple[str, str]]:
    if len(head.beside) > 1:
        kept, copy = head.beside
        return [(prefix + copy, prefix + kept)]
    if name.endswith(_SHARED):
        base = name.removesuffix(_SHARED)
        return [(base + sharer, name) for sharer in _SHARERS]
    return []
