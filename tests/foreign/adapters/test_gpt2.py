"""An imported GPT-2 predicts as the library's own does, to the rounding of float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from minform_cli.errors import InputError
from minform_cli.foreign.adapters.gpt2 import WITH_HEAD
from tests.foreign.adapters.folders import changed
from tests.foreign.adapters.test_images import found, randomised
from tests.foreign.adapters.test_parity import check

SMALL = {"vocab_size": 20, "n_embd": 12, "n_layer": 2, "n_head": 3, "n_positions": 9}
END = "<|endoftext|>"


def gpt2(folder: Path, architecture: str = WITH_HEAD, **settings: Any) -> None:
    """The library's model of this class with random weights, saved in `folder` with a tokenizer."""
    config = transformers.GPT2Config(**(SMALL | {"bos_token_id": 3, "eos_token_id": 3} | settings))
    randomised(getattr(transformers, architecture)(config)).save_pretrained(folder)  # type: ignore[operator]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(("a", "b", "c", END))}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([END])
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("architecture", [WITH_HEAD, "GPT2Model"])
@pytest.mark.parametrize("settings", [{}, {"activation_function": "relu", "n_inner": 20}], ids=str)
def test_it_predicts_as_the_librarys_own(tmp_path: Path, architecture: str, settings: dict[str, Any]) -> None:
    gpt2(tmp_path, architecture, **settings)
    made = found(f"hf:{tmp_path}")
    check(made)
    assert not made.left_over
    assert any("word vectors" in note for note in made.notes) == (architecture != WITH_HEAD)


def test_what_config_json_does_not_say_is_as_the_library_has_it(tmp_path: Path) -> None:
    gpt2(tmp_path, n_positions=1024)
    unsaid = (
        "activation_function",
        "layer_norm_epsilon",
        "n_inner",
        "n_positions",
        "scale_attn_weights",
        "resid_pdrop",
    )
    made = found(f"hf:{changed(tmp_path, **dict.fromkeys(unsaid))}")
    assert made.config.model.mlp.kind == "gelu-tanh"
    check(made)


def test_masks_and_a_tied_matrix_that_stands_there_twice_are_left_over(tmp_path: Path) -> None:
    gpt2(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    mask, words = "transformer.h.0.attn.bias", tensors["transformer.wte.weight"]
    masks = {mask: torch.ones(1, 1, 9, 9).tril(), "transformer.h.1.attn.masked_bias": torch.tensor(-1e4)}
    save_file(tensors | masks | {"lm_head.weight": words.clone()}, path)
    made = found(f"hf:{tmp_path}")
    assert made.left_over == {
        **dict.fromkeys(masks, "which token sees which, no weights"),
        "lm_head.weight": "tied: the numbers of transformer.wte.weight",
    }
    check(made)
    save_file(tensors | {"lm_head.weight": words + 1}, path)
    with pytest.raises(InputError, match=r"lm_head.weight and transformer.wte.weight differ"):
        found(f"hf:{tmp_path}")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is true; accepted: false"),
        ({"scale_attn_weights": False}, "scale_attn_weights is false; accepted: true"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is false; accepted: true"),
        ({"activation_function": "silu"}, 'activation_function is "silu"; accepted: gelu, relu, gelu_new'),
        ({"n_head": 5}, "n_head 5 does not divide n_embd 12; accepted: 1, 2, 3, 4, 6, 12"),
        ({"n_inner": 47}, "tensor transformer.h.0.mlp.c_fc.weight is (12, 48), and its settings make it (12, 47)"),
        ({"n_layer": 3}, "tensor h.2.attn.c_attn.weight is missing"),
        ({"vocab_size": 3}, "has 4 entries, more than the 3 word vectors"),
    ],
    ids=str,
)
def test_what_no_part_of_ours_does_is_named(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    gpt2(tmp_path)
    with pytest.raises(InputError) as caught:
        found(f"hf:{changed(tmp_path, **settings)}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_blocks_beyond_the_settings_are_left_over(tmp_path: Path) -> None:
    gpt2(tmp_path)
    made = found(f"hf:{changed(tmp_path, n_layer=1)}")
    assert set(made.left_over.values()) == {"beyond the blocks of config.json"}
    with pytest.raises(InputError, match="--pooling: GPT2LMHeadModel predicts every token"):
        found(f"hf:{tmp_path}", pooling="mean")
