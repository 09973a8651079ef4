"""GPT-2 of transformers: norms before sublayers, no token sees the next, and the output is tied to the word vectors.

Its maps are kept as x W has them, and Q, K and V stand in one; old files also hold each block's causal mask, which is
no weight. GPT2Model is read with the tied output, which needs no number of its own.
Source: Language Models are Unsupervised Multitask Learners (2019); names as transformers writes them.
"""

from __future__ import annotations

import re

from minform_cli.config.schema import DataConfig, ModelConfig, RunConfig
from minform_cli.data.spec import TextSpec
from minform_cli.errors import InputError
from minform_cli.foreign.adapters.base import Given, Imported
from minform_cli.foreign.adapters.bert import ACTIVATIONS
from minform_cli.foreign.adapters.originals import library, original
from minform_cli.foreign.adapters.places import Named, Place, placed
from minform_cli.foreign.adapters.settings import TheirSettings
from minform_cli.foreign.adapters.theirs import Theirs
from minform_cli.foreign.adapters.tokenizing import around, longest, tokenizer_of
from minform_cli.models.build import build_model
from minform_cli.models.meta import weightless
from minform_cli.runs.tensors import weights_of

TASK = "next-tokens"

PREFIX = "transformer."

WITH_HEAD = "GPT2LMHeadModel"

FIXED: Named = {
    "embedding.words": Place("wte."),
    "embedding.positions.table": Place("wpe.weight"),
    "final_norm": Place("ln_f."),
}

BLOCK = {
    "attention.similarity.w_q": Place("attn.c_attn.", 0, 3, turned=True),
    "attention.similarity.w_k": Place("attn.c_attn.", 1, 3, turned=True),
    "attention.value.w_v": Place("attn.c_attn.", 2, 3, turned=True),
    "attention.value.w_o": Place("attn.c_proj.", turned=True),
    "attention_norm": Place("ln_1."),
    "mlp.w_1": Place("mlp.c_fc.", turned=True),
    "mlp.w_2": Place("mlp.c_proj.", turned=True),
    "mlp_norm": Place("ln_2."),
}
"""Our modules in a block -> theirs."""

MASK = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")


def adapt(given: Given) -> Imported:
    """The run of a GPT-2; see `base.adapt`."""
    if given.pooling is not None:
        raise InputError(f"--pooling: {given.architecture} predicts every token; accepted: it is for encoders")
    settings = TheirSettings(f"{given.folder}/config.json", given.settings)
    aliases = {name.removeprefix(PREFIX): name for name in given.tensors.names if name.startswith(PREFIX)}
    theirs = given.tensors.renamed(aliases)
    model, vocab_size, rows = _model(settings)
    vocabulary = tokenizer_of(given, (), vocab_size)
    seq_len = longest(given, rows)
    data = DataConfig(name="text", vocab_size=vocab_size, seq_len=seq_len, tokenizer=f"{given.folder}/tokenizer.json")
    spec = TextSpec(name="imported", title=given.title, source=given.source, vocab_size=vocab_size, seq_len=seq_len)
    config = RunConfig(preset=given.source, task=TASK, data=data, model=model)
    with weightless():
        expected = weights_of(build_model(config, spec))
    weights = placed(theirs, expected, FIXED, "h.{}.", BLOCK)
    _say_what_is_left(theirs)
    headless = given.architecture != WITH_HEAD
    notes = ["every token is predicted by the word vectors, as GPT2LMHeadModel reads these weights"] if headless else []
    pad = 0 if vocabulary.special.pad is None else vocabulary.special.pad
    whole = Given(source=given.source, title=given.title, architecture=WITH_HEAD, tensors=theirs, folder=given.folder)
    return Imported(
        config=config,
        spec=spec,
        weights=weights,
        left_over=theirs.left_over(f"{given.architecture} has no such tensor"),
        tokenizer=vocabulary.json.decode(),
        notes=(*notes, *around(vocabulary), *theirs.notes()),
        original=original(whole, TASK, "tokens", pad),
        library=library(),
    )


def _model(settings: TheirSettings) -> tuple[ModelConfig, int, int]:
    """The model, entries of its vocabulary, and its positions."""
    settings.only("tie_word_embeddings", True)
    settings.only("scale_attn_weights", True)
    settings.only("scale_attn_by_inverse_layer_idx", False)
    settings.only("add_cross_attention", False)
    if settings.get("pruned_heads"):
        raise settings.wrong("pruned_heads", settings.get("pruned_heads"), "none")
    settings.check_heads("n_head", "n_embd")
    dim, rows = settings.number("n_embd"), settings.number("n_positions", 1024)
    hidden = 4 * dim if settings.get("n_inner") is None else settings.number("n_inner")
    model = ModelConfig.model_validate({
        "dim": dim,
        "depth": settings.number("n_layer"),
        "heads": settings.number("n_head"),
        "mlp_multiple": hidden / dim,
        "dropout": settings.real("resid_pdrop", 0.1, zero=True),
        "embedding": "tokens",
        "position": {"kind": "learned", "rows": rows},
        "mlp": settings.choice("activation_function", ACTIVATIONS, "gelu_new"),
        "mask": "causal",
        "readout": "tokens",
        "norm": {"kind": "pre", "eps": settings.real("layer_norm_epsilon", 1e-5)},
        "bias": "all",
    })  # fmt: skip
    return model, settings.number("vocab_size"), rows


def _say_what_is_left(theirs: Theirs) -> None:
    masks = [name for name in theirs.names if MASK.fullmatch(name.removeprefix(PREFIX))]
    theirs.leave_below("beyond the blocks of config.json", "h.")
    theirs.leave("which token sees which, no weights", *masks)
    if theirs.has("lm_head.weight"):
        if not theirs.same("lm_head.weight", "wte.weight"):
            raise InputError(
                f"{theirs.where}: tensors lm_head.weight and {theirs.named('wte.weight')} differ, and config.json ties "
                "them; accepted: one of them, or two that are equal"
            )
        theirs.leave(f"tied: the numbers of {theirs.named('wte.weight')}", "lm_head.weight")
    for opening in ("score.", "multiple_choice_head.", "classifier."):
        theirs.leave_below("of another head", opening)
