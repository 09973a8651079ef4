"""Of models of images, too, what cannot be imported ends in one line that names it, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from minform_cli.errors import InputError
from minform_cli.foreign import hugging_face
from minform_cli.foreign.adapters.pixels import FILE
from tests.cli.commands import Command
from tests.foreign.adapters.folders import changed
from tests.foreign.adapters.test_images import REGISTERED, SMALL, found, registered, vit

NAME = "vit_tiny_patch16_224"
QKV = "blocks.3.attn.qkv.weight"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model of that name."""
    path = tmp_path_factory.mktemp("timm") / "weights.safetensors"
    save_file(timm.create_model(NAME, **SMALL).state_dict(), path)
    return path


def refusal(source: str, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        found(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"qkv_bias": False}, "qkv_bias is false; accepted: true"),
        ({"image_size": 9}, "patches of 4 do not divide images of 9 x 9"),
        ({"image_size": [8]}, "image_size is [8]; accepted: a whole number from 1 on, or two"),
        ({"patch_size": [4, 2]}, "patch_size is [4, 2]; accepted: square patches"),
        ({"image_size": 12}, "position_embeddings is (1, 5, 12), and its settings make it (1, 10, 12)"),
        ({"hidden_act": "swish"}, 'hidden_act is "swish"; accepted: gelu, relu'),
        ({"num_attention_heads": 5}, "num_attention_heads 5 does not divide hidden_size 12"),
        ({"num_hidden_layers": 3}, "tensor encoder.layer.2.attention.attention.query.weight is missing"),
        ({"id2label": {"0": "a"}}, "tensor classifier.weight is (4, 12), and its settings make it (1, 12)"),
        ({"problem_type": "multi_label_classification"}, "accepted: single_label_classification"),
        ({"architectures": ["DeiTForImageClassification"]}, "tensor embeddings.cls_token is missing"),
        ({"architectures": ["ViTModel"]}, "unknown architecture 'ViTModel'; of its family: ViTForImageClassification"),
        ({"architectures": ["ViTForImageClasification"]}, "did you mean 'ViTForImageClassification'?"),
    ],
    ids=str,
)
def test_settings_that_no_part_of_ours_has_are_named(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    vit(tmp_path)
    assert said in refusal(f"hf:{changed(tmp_path, **settings)}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is damaged: "),
        ("[]", "is damaged: expected a JSON object"),
        ('{"image_mean": [1, 2]}', "image_mean is [1, 2]; accepted: 3 finite numbers, one for each channel"),
        ('{"image_mean": [NaN, 0, 0]}', "image_mean is [NaN, 0, 0]; accepted: 3 finite numbers"),
        ('{"image_std": [0, 1, 1]}', "image_std is [0.0, 1.0, 1.0]; accepted: numbers above 0"),
        ('{"rescale_factor": 0}', "rescale_factor is 0; accepted: a number above 0"),
    ],
)
def test_a_damaged_normalisation_is_named(tmp_path: Path, content: str, said: str) -> None:
    vit(tmp_path)
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    assert said in refusal(f"hf:{tmp_path}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors[QKV][5].fill_(torch.nan), f"tensor {QKV} holds NaN or infinity"),
        (lambda tensors: tensors.pop(QKV), f"tensor {QKV} is missing"),
        (lambda tensors: tensors.pop("head.weight"), "tensor head.weight is missing"),
        (lambda tensors: tensors.update(pos_embed=torch.ones(1, 3, 192)), "of 2 patches, no square"),
        (lambda tensors: tensors.update(pos_embed=torch.ones(5, 192)), "tensor pos_embed is (5, 192)"),
        (lambda tensors: tensors.update({"head.weight": torch.ones(5)}), "tensor head.weight is (5,)"),
        (lambda tensors: tensors.update({"patch_embed.proj.weight": torch.ones(192, 3, 4, 2)}), "(192, 3, 4, 2)"),
    ],
)
def test_a_tensor_that_is_not_as_it_must_be_is_named(
    weights: Path, tmp_path: Path, change: Callable[[dict[str, Tensor]], object], said: str
) -> None:
    tensors = load_file(weights)
    change(tensors)
    save_file(tensors, tmp_path / "spoilt.safetensors")
    assert said in refusal(f"timm:{NAME}", weights=tmp_path / "spoilt.safetensors")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "timm:vit_small_patch16_224",
            "cls_token is (1, 1, 192), and that of timm:vit_small_patch16_224 is (1, 1, 384)",
        ),
        ("timm:deit_tiny_distilled_patch16_224", "pos_embed is (1, 5, 192), of 3 patches, no square"),
        ("timm:vit_tinny_patch16_224", "unknown model 'vit_tinny_patch16_224'; nearest of timm's"),
        ("timm:resnet18", "unknown architecture 'ResNet'; accepted: VisionTransformer"),
        ("torchvision:vit_b_16", "tensor heads.head.weight is missing; did you mean 'head.weight'?"),
        ("torchvision:vit_b_15", "unknown model 'vit_b_15'; nearest of torchvision's"),
    ],
)
def test_weights_of_another_model_and_unknown_names_are_refused(weights: Path, source: str, said: str) -> None:
    assert said in refusal(source, weights=weights)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"init_values": 1.0}, "tensor blocks.0.ls1.gamma: no part of ours has it"),
        ({"qk_norm": True}, "tensor blocks.0.attn.q_norm.weight: no part of ours has it"),
        ({"pre_norm": True}, "tensor norm_pre.weight: no part of ours has it"),
        ({"global_pool": "avg"}, "tensor fc_norm.weight: no part of ours has it"),
        (
            {"global_pool": "avg", "fc_norm": False},
            "global_pool is avg, and no part of ours does that; accepted: token",
        ),
        ({"global_pool": "max", "fc_norm": False, "class_token": False}, "global_pool is max"),
        ({"no_embed_class": True}, "no_embed_class is True, and no part of ours does that; accepted: False"),
        ({"qkv_bias": False}, "has no tensor blocks.0.attn.qkv.bias"),
        ({"pos_embed": "none"}, "has no tensor pos_embed"),
        ({"act_layer": "silu"}, "the MLP's activation is SiLU; accepted: GELU"),
        ({"mlp_layer": timm.layers.GluMlp}, "mlp is GluMlp, and no part of ours does that; accepted: Mlp"),
    ],
    ids=str,
)
def test_what_timm_can_and_no_part_of_ours_is_named(
    weights: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], said: str
) -> None:
    registered(monkeypatch, **settings)
    assert said in refusal(f"timm:{REGISTERED}", weights=weights)


def test_files_that_are_no_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "weights.pth", tmp_path / "weights.safetensors"):
        folder.mkdir(exist_ok=True)
        assert "is a folder; accepted: a file of weights" in refusal(f"timm:{NAME}", weights=folder)
    assert "no such file; did you mean 'weights.safetensors'?" in refusal(
        f"timm:{NAME}", weights=weights.with_name("weihgts.safetensors")
    )
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights.read_bytes()[:-100])
    assert "is damaged or no safetensors file" in refusal(f"timm:{NAME}", weights=cut)
    torch.save(load_file(weights), tmp_path / "weights.bin")
    assert "is no file *.safetensors or *.pth; accepted: one of them" in refusal(
        f"timm:{NAME}", weights=tmp_path / "weights.bin"
    )
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pth")
    assert "holds more than named tensors, a whole model say" in refusal(f"timm:{NAME}", weights=tmp_path / "whole.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    assert "holds something else than named tensors" in refusal(f"timm:{NAME}", weights=tmp_path / "list.pth")
    torch.save(load_file(weights), tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:-1000])
    assert "cannot be read as weights alone" in refusal(f"timm:{NAME}", weights=tmp_path / "cut.pth")


def test_options_of_text_and_a_library_that_is_not_there_are_refused(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--pooling: VisionTransformer sees images" in refusal(f"timm:{NAME}", weights=weights, pooling="mean")
    assert "--seq-len: VisionTransformer sees images" in refusal(f"timm:{NAME}", weights=weights, seq_len=8)

    def absent(name: str) -> object:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(hugging_face.importlib, "import_module", absent)
    said = refusal(f"timm:{NAME}", weights=weights)
    assert said == "timm is not installed; pip install 'minform[models]'"


def test_a_refusal_writes_nothing(weights: Path, tmp_path: Path, minform: Command) -> None:
    out = tmp_path / "run"
    assert (
        "is (1, 1, 192)"
        in minform("import", "timm:vit_small_patch16_224", "--weights", str(weights), "--out", str(out)).refusal
    )
    assert not out.exists()


def test_classes_of_one_name_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    vit(tmp_path)
    names = dict(enumerate(["crane", "dog", "crane", "emu"]))
    (tmp_path / "config.json").write_text(
        json.dumps(json.loads((tmp_path / "config.json").read_text(encoding="utf-8")) | {"id2label": names}),
        encoding="utf-8",
    )
    assert found(f"hf:{tmp_path}").spec.class_names == ("crane (0)", "dog", "crane (2)", "emu")
