"""Format hf: what transformers loads, by its own class where the model is one of its own, else by ours."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers

import minform_cli
from minform_cli.data.spec import DataSpec
from minform_cli.errors import InputError
from tests.exporting.conftest import RUNS, WITH_WORDS
from tests.exporting.fresh import shapes
from tests.exporting.made import BERT, GPT2, IMAGES, SENTENCES, VIT, WORDS, stored, tokenizer

CLASSES = {
    "masked": "BertForMaskedLM",
    "sentences": "BertForSequenceClassification",
    "next": "GPT2LMHeadModel",
    "images": "ViTForImageClassification",
}
PLAIN: dict[str, Any] = {"embedding": {"kind": "tokens", "types": 0, "norm": True}}
PIVOTED: dict[str, Any] = {
    "similarity": {"kind": "low-rank", "rank": [4, 2]},
    "value": {"kind": "low-rank", "rank": [0, 5], "pivoted": True},
}
STANDARD: dict[str, tuple[str, dict[str, Any], DataSpec, str]] = {
    "distilbert": ("masked-tokens", BERT | PLAIN, WORDS, "DistilBertForMaskedLM"),
    "roberta": (
        "classify-sentences",
        BERT | {"position": {"kind": "learned", "rows": 16, "unused": 2}},
        SENTENCES,
        "RobertaForSequenceClassification",
    ),
    "distilbert-pooled": (
        "classify-sentences",
        BERT | PLAIN | {"readout": {"kind": "pooler", "activation": "relu"}},
        SENTENCES,
        "DistilBertForSequenceClassification",
    ),
    "eps": ("masked-tokens", BERT | {"norm": {"kind": "post", "eps": 1e-3}}, WORDS, "BertForMaskedLM"),
    "vectors": ("embed-sentences", BERT | {"readout": "mean"}, WORDS, "BertModel"),
    "vectors-plain": ("embed-sentences", BERT | PLAIN | {"readout": "class-token"}, WORDS, "DistilBertModel"),
    "vectors-pooled": ("embed-sentences", BERT, WORDS, "BertModel"),
    "untied": (
        "masked-tokens",
        BERT | {"embedding": {"kind": "tokens", "types": 2, "norm": True, "tied": False}},
        WORDS,
        "BertForMaskedLM",
    ),
    "two-heads": (
        "classify-images",
        VIT | {"readout": "distilled"},
        IMAGES,
        "DeiTForImageClassificationWithTeacher",
    ),
    "a-token-beside": (
        "classify-images",
        VIT | {"readout": {"kind": "class-token", "beside": 1}, "mlp": "gelu-tanh"},
        IMAGES,
        "DeiTForImageClassification",
    ),
    "gelu-tanh": ("next-tokens", GPT2 | {"mlp": "gelu-tanh"}, WORDS, "GPT2LMHeadModel"),
    "relu": ("classify-images", VIT | {"mlp": "relu", "bias": "none"}, IMAGES, "ViTForImageClassification"),
    "centred": (
        "classify-images",
        VIT
        | {
            "norm": {"kind": "pre", "affine": False, "final_affine": False, "centred": True},
            "readout": {"kind": "class-token", "reference_class": True},
        },
        IMAGES,
        "ViTForImageClassification",
    ),
    "full-rank": (
        "classify-images",
        VIT | {"bias": "live", "similarity": "low-rank", "value": "low-rank"},
        IMAGES,
        "ViTForImageClassification",
    ),
    "unbiased": (
        "next-tokens",
        GPT2 | {"bias": "none", "embedding": {"kind": "tokens", "tied": False}},
        WORDS,
        "GPT2LMHeadModel",
    ),
}
"""Other models that are a class of transformers: task, model, data, class."""
LARGER: dict[str, tuple[str, dict[str, Any], DataSpec, str]] = {
    "tied": ("classify-images", VIT | {"similarity": "mirrored"}, IMAGES, "ViTForImageClassification"),
    "absent": (
        "classify-images",
        VIT | {"mlp": ["none", "gelu"], "value": ["separate", "omitted"], "similarity": ["none", "separate"]},
        IMAGES,
        "ViTForImageClassification",
    ),
    "shared": ("classify-images", VIT | {"order": "shared", "position": "none"}, IMAGES, "ViTForImageClassification"),
    "widths": ("masked-tokens", BERT | {"mlp": ["gelu", {"kind": "gelu", "width": 7}]}, WORDS, "BertForMaskedLM"),
    "ranks": (
        "classify-sentences",
        BERT | {"bias": "live"} | PIVOTED,
        SENTENCES,
        "BertForSequenceClassification",
    ),
    "chain": (
        "next-tokens",
        GPT2 | {"linear": {"kind": "tensor-chain", "qkv": 0.5, "mlp": 0.5}, "position": "sinusoidal"},
        WORDS,
        "GPT2LMHeadModel",
    ),
}
"""Models whose class would be larger than they are."""
OURS: dict[str, tuple[str, dict[str, Any], DataSpec, str]] = {
    "kgv": ("classify-sentences", BERT | {"value": "kgv"}, SENTENCES, "MinformForSequenceClassification"),
    "soft": (
        "next-tokens",
        GPT2 | {"embedding": "h-softpos", "position": "sinusoidal"},
        WORDS,
        "MinformForCausalLM",
    ),
    "swiglu": ("masked-tokens", BERT | {"mlp": "swiglu"}, WORDS, "MinformForMaskedLM"),
    "pool": ("embed-sentences", BERT | {"readout": "sequence-pool"}, WORDS, "MinformModel"),
    "mean": ("classify-images", VIT | {"readout": "mean"}, IMAGES, "MinformForImageClassification"),
}
"""Models that no class of transformers is."""


def export(root: Path, case: tuple[str, dict[str, Any], DataSpec, str], **options: bool) -> Any:
    """The record of such a model's export to `root`/out."""
    if not (root / "run").exists():
        stored(root / "run", *case[:3])
    return minform_cli.export(root / "run", "hf", root / "out", **options)  # type: ignore[arg-type]


def test_transformers_loads_standard_models_without_minform(standard: Path) -> None:
    found = shapes(standard, *RUNS, *WITH_WORDS, blocked=("minform_cli",))
    given = {"masked": [1, 3, 40], "sentences": [1, 2], "next": [1, 3, 40], "images": [1, 3]}
    assert found == given | {"mean": [1, 12], "first": [1, 12], "masked-words": [1, 12, 40], "next-words": [1, 12, 40]}


def test_standard_models_have_their_own_numbers_and_no_others(runs: dict[str, Path], tmp_path: Path) -> None:
    for name in RUNS:
        record = minform_cli.export(runs[name], "hf", tmp_path / name)
        assert record["loader"] == f"transformers.{CLASSES[name]}"
        assert (record["filled"], record["expanded"], record["numbers"]) == ({}, [], record["parameters"])


@pytest.mark.parametrize("name", RUNS)
def test_the_librarys_own_model_has_exactly_these_numbers(name: str, standard: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(standard / name)
    model = getattr(transformers, CLASSES[name])(config)
    tensors = safetensors.torch.load_file(standard / name / "model.safetensors")
    assert sum(p.numel() for p in model.parameters()) == sum(tensor.numel() for tensor in tensors.values())


@pytest.mark.parametrize("name", STANDARD)
def test_models_that_are_a_class_of_transformers_are_written_as_it(name: str, tmp_path: Path) -> None:
    record = export(tmp_path, STANDARD[name])
    assert record["loader"] == f"transformers.{STANDARD[name][3]}"
    assert record["expanded"] == []
    assert record["numbers"] == record["parameters"] + sum(record["filled"].values())
    assert all(each["largest"] > 0.1 for each in record["parity"])
    assert not list((tmp_path / "out").glob("*.py"))


@pytest.mark.parametrize("name", LARGER)
def test_what_would_grow_is_ours_unless_expand_asks_for_the_larger_class(name: str, tmp_path: Path) -> None:
    compact = export(tmp_path, LARGER[name])
    assert compact["numbers"] == compact["parameters"]
    assert "Minform" in compact["loader"]
    (tmp_path / "out").rename(tmp_path / "compact")
    expanded = export(tmp_path, LARGER[name], expand=True)
    assert expanded["loader"] == f"transformers.{LARGER[name][3]}"
    assert expanded["numbers"] > expanded["parameters"]
    assert expanded["expanded"]
    assert f"would take {expanded['numbers']:,} numbers; --expand writes it so" in compact["notes"][0]
    assert all(part in (tmp_path / "out/README.md").read_text() for part in expanded["expanded"])


@pytest.mark.parametrize("name", OURS)
def test_what_no_class_is_is_ours_and_expand_is_refused(name: str, tmp_path: Path) -> None:
    record = export(tmp_path, OURS[name])
    assert record["loader"].startswith(OURS[name][3])
    assert "no class of transformers is this model" in record["notes"][0]
    (tmp_path / "out").rename(tmp_path / "compact")
    with pytest.raises(InputError, match="--expand: no class of transformers is this model"):
        export(tmp_path, OURS[name], expand=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("setting", ["embedding_width", "head_width"])
def test_a_card_compares_with_its_baseline_what_only_one_of_them_sets(setting: str, tmp_path: Path) -> None:
    for name, model, baseline, row in (
        ("more", BERT | {setting: 4}, BERT, "| null "),
        ("less", BERT, BERT | {setting: 4}, "| 4 "),
    ):
        stored(tmp_path / name, "classify-sentences", model, SENTENCES, baseline=baseline)
        minform_cli.export(tmp_path / name, "hf", tmp_path / f"{name}-out")
        card = (tmp_path / f"{name}-out/README.md").read_text()
        (line,) = [each for each in card.splitlines() if each.startswith("| " + setting.replace("_", "\\_"))]
        assert row in line


GENERATES = """
import torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(".", trust_remote_code=True)
tokens = model.generate(torch.tensor([[5, 6]]), max_new_tokens=4, do_sample=False)
again = torch.tensor([[5, 6]])
for _ in range(4):
    again = torch.cat([again, model(again).logits[:, -1:].argmax(-1)], 1)
assert tokens.tolist() == again.tolist()
"""


def test_our_own_classes_load_by_auto_map_in_a_fresh_process(tmp_path: Path) -> None:
    for name in ("soft", "pool", "mean"):
        task, model, spec, _ = OURS[name]
        words = tokenizer() if name == "pool" else None
        stored(tmp_path / f"run-{name}", task, model, spec, words and words.json)
        minform_cli.export(tmp_path / f"run-{name}", "hf", tmp_path / name)
    card = tmp_path / "soft/README.md"
    card.write_text(card.read_text().replace("```python\n", f"```python\n{GENERATES}"))
    found = shapes(tmp_path, "soft", "pool", "mean", environment={"HF_MODULES_CACHE": str(tmp_path / "cache")})
    assert found == {"soft": [1, 3, 40], "pool": [1, 12], "mean": [1, 3]}


@pytest.mark.parametrize("case", [STANDARD["relu"], OURS["mean"]], ids=["standard", "ours"])
def test_normalisation_goes_inside_and_the_preprocessor_leaves_it(case: Any, tmp_path: Path) -> None:
    record = export(tmp_path, case, normalise=True)
    assert record["normalised"]
    settings = json.loads((tmp_path / "out/preprocessor_config.json").read_text())
    assert (settings["do_rescale"], settings["do_normalize"]) == (True, False)


def test_the_preprocessor_does_what_the_run_did(standard: Path) -> None:
    image = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    prepare = transformers.AutoImageProcessor.from_pretrained(standard / "images")
    given = prepare(image, return_tensors="pt")["pixel_values"]
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ([0.5, 0.4, 0.3], [0.25, 0.3, 0.2]))
    expected = (torch.from_numpy(image).permute(2, 0, 1) / 255 - mean) / std
    torch.testing.assert_close(given[0], expected, rtol=0, atol=1e-5)


def test_class_names_are_the_librarys_labels(standard: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(standard / "sentences")
    assert config.id2label == {0: "bad", 1: "good"}


def test_transformers_that_is_not_installed_is_named_in_one_line(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = importlib.import_module

    def importing(name: str, *package: str) -> Any:
        if name == "transformers":
            raise ModuleNotFoundError("No module named 'transformers'", name="transformers")
        return whole(name, *package)

    monkeypatch.setattr(importlib, "import_module", importing)
    with pytest.raises(
        InputError, match=r"^--format hf: transformers is not installed; pip install 'minform\[models\]'$"
    ):
        minform_cli.export(runs["images"], "hf", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
