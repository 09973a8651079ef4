"""What cannot be imported ends in one line that names it, and nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from minform_cli.errors import InputError
from minform_cli.foreign.adapters.given import Options, read_source
from tests.cli.commands import Command
from tests.foreign.adapters.folders import byte_bpe, changed, made
from tests.foreign.adapters.test_parity import imported

QUERY = "encoder.layer.0.attention.self.query.weight"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    made(folder, "BertModel")
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy of a small BERT, to be spoilt."""
    return Path(shutil.copytree(sound, tmp_path / "model"))


def refusal(folder: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        imported(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def spoilt(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
    """The folder with other tensors."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return folder


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"architectures": ["BertForQuestionAnswering"]}, "unknown architecture 'BertForQuestionAnswering'; did you"),
        ({"architectures": ["BertModle"]}, "unknown architecture 'BertModle'; did you mean 'BertModel'?"),
        ({"architectures": None, "model_type": "t5"}, "config.json names no architecture; accepted: "),
        ({"hidden_act": "silu"}, 'hidden_act is "silu"; accepted: gelu, relu, gelu_new, gelu_pytorch_tanh'),
        ({"position_embedding_type": "relative_key"}, 'is "relative_key"; accepted: "absolute"'),
        ({"is_decoder": True}, "is_decoder is true; accepted: false"),
        ({"add_cross_attention": True}, "add_cross_attention is true; accepted: false"),
        ({"pruned_heads": {"0": [1]}}, 'pruned_heads is {"0": [1]}; accepted: none'),
        ({"num_attention_heads": 5}, "num_attention_heads 5 does not divide hidden_size 12; accepted: 1, 2, 3, 4, 6"),
        ({"num_hidden_layers": "two"}, 'num_hidden_layers is "two"; accepted: a whole number from 1 on'),
        ({"hidden_size": None}, "hidden_size is missing; accepted: a whole number from 1 on"),
        ({"layer_norm_eps": -1}, "layer_norm_eps is -1; accepted: a number above 0"),
        ({"num_hidden_layers": 3}, "tensor encoder.layer.2.attention.self.query.weight is missing"),
        ({"vocab_size": 41}, "tensor embeddings.word_embeddings.weight is (40, 12), and its settings make it (41, 12)"),
    ],
)
def test_settings_that_no_part_of_ours_has_are_named(folder: Path, settings: dict[str, object], said: str) -> None:
    assert said in refusal(changed(folder, **settings))


def test_settings_that_change_no_output_are_taken(folder: Path) -> None:
    imported(changed(folder, chunk_size_feed_forward=4, use_cache=False, gradient_checkpointing=True))


def test_blocks_beyond_the_settings_are_left_over_by_name(folder: Path) -> None:
    found = imported(changed(folder, num_hidden_layers=1))
    assert found.left_over[QUERY.replace("0", "1")] == "beyond the blocks of config.json"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop(QUERY), f"tensor {QUERY} is missing; did you mean"),
        (lambda tensors: tensors.update({QUERY: torch.zeros(12, 13)}), f"tensor {QUERY} is (12, 13), and its settings"),
        (lambda tensors: tensors[QUERY].fill_(torch.nan), f"tensor {QUERY} holds NaN or infinity"),
        (lambda tensors: tensors[QUERY][0].fill_(torch.inf), f"tensor {QUERY} holds NaN or infinity"),
        (lambda tensors: tensors.update({QUERY: tensors[QUERY].long()}), f"tensor {QUERY} is of int64"),
    ],
    ids=["missing", "misshapen", "nan", "infinite", "whole"],
)
def test_a_tensor_that_is_not_as_it_must_be_is_named(
    folder: Path, change: Callable[[dict[str, Tensor]], object], said: str
) -> None:
    assert said in refusal(spoilt(folder, change))


def test_a_truncated_file_is_damaged(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{path} is damaged or no safetensors file" in refusal(folder)
    path.write_bytes(b"")
    assert f"{path} is damaged or no safetensors file" in refusal(folder)


def test_a_pickle_alone_is_not_read_and_what_to_do_is_said(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    said = refusal(folder)
    assert "has its weights in pytorch_model.bin alone, a pickle" in said
    assert "save_pretrained" in said
    (folder / "pytorch_model.bin").unlink()
    assert "has no *.safetensors" in refusal(folder)


def test_an_index_that_does_not_fit_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = folder / "model.safetensors.index.json"
    for content, said in (
        ("{", "is damaged: expected a 'weight_map'"),
        ('{"weight_map": {"x": "../x.safetensors"}}', "is damaged: expected a 'weight_map'"),
        ('{"weight_map": {"x": "gone.safetensors"}}', "gone.safetensors: no such file"),
        ('{"weight_map": {"x": "model-00001-of-00002.safetensors"}}', "tensor x is not in model-00001-of-00002"),
    ):
        index.write_text(content, encoding="utf-8")
        assert said in refusal(folder)


def test_a_folder_without_its_files_says_which(folder: Path) -> None:
    for name, said in (("tokenizer.json", "has no tokenizer.json"), ("config.json", "the folder has no config.json")):
        (folder / name).unlink()
        assert said in refusal(folder)
    assert "no such folder; did you mean 'model'?" in refusal(folder.with_name("modle"))
    (folder / "config.json").write_text("[1]", encoding="utf-8")
    assert "is damaged: expected a JSON object" in refusal(folder)


def test_a_tokenizer_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model"]["vocab"]["beyond"] = 40
    path.write_text(json.dumps(content), encoding="utf-8")
    assert "has 41 entries, more than the 40 word vectors" in refusal(folder)
    text = path.read_text(encoding="utf-8").replace('"beyond": 40', '"beyond": 39').replace("[PAD]", "[P]")
    path.write_text(text, encoding="utf-8")
    assert "has no entry to fill up with" in refusal(folder)
    path.write_text(text.replace("[CLS]", "[C]").replace("[SEP]", "[S]"), encoding="utf-8")
    assert "its special entries: [P], [UNK], [C], [S], [MASK]" in refusal(folder)
    path.write_text("{}", encoding="utf-8")
    assert "is no tokenizer, or damaged" in refusal(folder)
    made(tmp_path / "roberta", "RobertaModel", pad_token_id=3)
    byte_bpe().save(str(tmp_path / "roberta" / "tokenizer.json"))
    assert "pad_token_id is 3, and tokenizer.json fills up with 1" in refusal(tmp_path / "roberta")


def test_options_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    assert "unknown readout 'maen'; did you mean 'mean'?" in refusal(folder, pooling="maen")
    assert "is more than the model's 18 positions" in refusal(folder, seq_len=19)
    assert "--weights: " in refusal(folder, weights=folder / "model.safetensors")
    made(tmp_path / "other", "DistilBertModel")
    assert "the file has no pooler's weights" in refusal(tmp_path / "other", pooling="pooler")
    made(tmp_path / "head", "BertForMaskedLM")
    assert "it is for models without a head" in refusal(tmp_path / "head", pooling="mean")


def test_a_head_that_is_no_softmax_of_classes_and_no_score_is_refused(tmp_path: Path) -> None:
    made(tmp_path, "BertForSequenceClassification", num_labels=3)
    assert "problem_type" in refusal(changed(tmp_path, problem_type="multi_label_classification"))
    assert "problem_type" in refusal(changed(tmp_path, problem_type="regression"))
    assert "id2label" in refusal(changed(tmp_path, problem_type=None, id2label={"0": "a", "2": "b", "3": "c"}))


def test_a_pooling_that_no_part_of_ours_does_is_refused_unless_another_is_asked_for(folder: Path) -> None:
    modules = [{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (folder / "1_Pooling").mkdir()
    pooling = folder / "1_Pooling" / "config.json"
    for content, said in (
        ({"pooling_mode_max_tokens": True}, "pools by max"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "pools by cls and mean"),
        ({"pooling_mode": "weightedmean"}, "pools by weightedmean"),
    ):
        pooling.write_text(json.dumps(content), encoding="utf-8")
        assert said in refusal(folder)
        assert imported(folder, pooling="mean").config.model.readout.kind == "mean"
    pooling.write_text(
        json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}), encoding="utf-8"
    )
    assert imported(folder).config.model.readout.kind == "class-token"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("hg:x", "unknown source of weights 'hg'; did you mean 'hf'?"),
        ("hf:", "no name after the source; accepted: hf:FOLDER"),
        ("timm:vit_tiny_patch16_224", "--weights FILE says where its weights lie; nothing is downloaded"),
    ],
)
def test_a_source_that_names_nothing_is_refused(source: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_source(source, Options())
    assert said in str(caught.value)


def test_a_refusal_writes_nothing(folder: Path, tmp_path: Path, minform: Command) -> None:
    spoilt(folder, lambda tensors: tensors.pop(QUERY))
    out = tmp_path / "deep" / "run"
    assert QUERY in minform("import", f"hf:{folder}", "--out", str(out)).refusal
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    assert "is not empty" in minform("import", f"hf:{folder}", "--out", str(folder)).refusal
