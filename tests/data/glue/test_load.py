"""The data set `glue`: what its settings give, where its files are found, tokens, cutting, limit, fingerprint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minform_cli.config.schema import DataConfig
from minform_cli.data.glue.sentences import CHUNK, SentenceData, SentenceSplit, shortened
from minform_cli.data.glue.tasks import GLUE
from minform_cli.data.sets import glue
from minform_cli.data.spec import DATA_SETS
from minform_cli.errors import InputError
from tests.data.glue.published import CLS, PUBLISHED, SEP, settings, word, word_tokenizer, write
from tests.data.text.prose import written
from tests.data.text.test_tokenizer import of_t5


def loaded(data: DataConfig) -> SentenceData:
    return glue.load(data, lambda _: None)


def examples(split: SentenceSplit) -> list[list[int]]:
    return [part.tolist() for part in np.split(split.tokens, split.offsets[1:-1])]


def sentences(folder: Path, lines: list[str], subset: str = "sst2", val: list[str] | None = None) -> Path:
    """A folder for a task with few columns: training `lines`, and `val` (the same where it is not given)."""
    header = "sentence\tlabel" if subset == "sst2" else "sentence1\tsentence2\t" + GLUE[subset].label
    folder.mkdir(exist_ok=True)
    for name, rows in (("train.tsv", lines), ("dev.tsv", lines if val is None else val)):
        (folder / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


def test_glue_is_registered() -> None:
    assert DATA_SETS.get("glue", "data.name") is glue


@pytest.mark.parametrize("subset", GLUE)
def test_the_spec_is_made_without_a_file(subset: str) -> None:
    spec = glue.spec(DataConfig(name="glue", path="absent", subset=subset, vocab_size=99, seq_len=33))
    assert (spec.name, spec.title) == (f"glue-{subset}", f"{GLUE[subset].title} (GLUE)")
    assert (spec.num_train, spec.num_val, spec.num_test, spec.vocab_size, spec.seq_len) == (0, 0, 0, 99, 33)
    assert spec.class_names == PUBLISHED[subset].class_names
    assert spec.num_outputs == {"stsb": 1, "mnli": 3, "mnli-mm": 3}.get(subset, 2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "data.subset: glue is a collection, say which task: --set data.subset=...; one of cola, sst2, mrpc,"),
        ({"subset": "sst3"}, "data.subset: unknown task of glue 'sst3'; did you mean 'sst2'?; accepted: cola, "),
        ({"subset": "SST2"}, "did you mean 'sst2'?"),
        ({"subset": "rte", "validation": "test"}, "data.validation: 'test' needs the labels of the test set, and GLUE"),
    ],
)
def test_settings_that_glue_has_no_use_for_are_refused(refused, given: dict[str, str], said: str) -> None:
    assert said in refused(InputError, glue.spec, DataConfig(name="glue", **given))


@pytest.mark.parametrize("subset", PUBLISHED)
def test_every_task_loads_from_files_as_published(tmp_path: Path, subset: str) -> None:
    data = loaded(settings(write(tmp_path / "files", subset), subset))
    published = PUBLISHED[subset]
    assert (data.spec.num_train, data.spec.num_val, data.spec.num_test) == (len(published.train), 1, 0)
    assert data.test is None
    assert data.train.labels.tolist() == np.array(published.labels, dtype=data.train.labels.dtype).tolist()
    expected = []
    for texts in zip(*published.texts, strict=True):
        expected.append([CLS])
        for text in texts:
            expected[-1] += [word(int(w[1:])) for w in text.split()] + [SEP]
    assert examples(data.train) == expected
    assert (data.train.seconds is None) == (len(published.texts) == 1)
    assert json.loads(data.tokenizer) == json.loads((tmp_path / "tokenizer.json").read_bytes())


def test_both_validation_sets_of_mnli_go_with_the_same_training_file(tmp_path: Path) -> None:
    folder = write(write(tmp_path / "files", "mnli"), "mnli-mm")
    matched, mismatched = (loaded(settings(folder, subset)) for subset in ("mnli", "mnli-mm"))
    assert examples(matched.train) == examples(mismatched.train)
    assert examples(matched.val) == [[CLS, word(1), SEP, word(2), SEP]]
    assert examples(mismatched.val) == [[CLS, word(7), SEP, word(8), SEP]]
    assert matched.fingerprint != mismatched.fingerprint


@pytest.mark.parametrize("where", ["glue/SST-2", "glue/sst2", "SST-2", "sst2"])
def test_without_a_path_the_files_are_found_below_the_data_folder(tmp_path: Path, monkeypatch, where: str) -> None:
    monkeypatch.setenv("MINFORM_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "sst2").mkdir(parents=True)  # a folder without the file is none
    given = settings(write(tmp_path / "data" / where, "sst2"), "sst2").model_copy(update={"path": None})
    assert loaded(given).spec.num_train == 2


def test_mismatched_mnli_is_found_in_the_folder_of_mnli(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MINFORM_DATA", str(tmp_path))
    given = settings(write(tmp_path / "glue" / "MNLI", "mnli-mm"), "mnli-mm").model_copy(update={"path": None})
    assert loaded(given).spec.num_train == 3


def test_files_that_are_not_there_are_asked_for(tmp_path: Path, refused) -> None:
    folder = write(tmp_path / "files", "mnli")
    nowhere = settings(folder, "mnli").model_copy(update={"path": None})
    message = refused(InputError, loaded, nowhere)
    assert "data.path: MNLI is not below MINFORM_DATA as glue/MNLI, glue/mnli, MNLI, mnli; give" in message
    assert "train.tsv and dev_matched.tsv: --set data.path=" in message
    absent = settings(tmp_path / "absent", "mnli")
    assert "absent' does not exist; accepted: a folder with" in refused(InputError, loaded, absent)
    a_file = settings(folder, "mnli").model_copy(update={"path": str(folder / "train.tsv")})
    assert "train.tsv' is no folder; accepted" in refused(InputError, loaded, a_file)
    assert "there is no dev_mismatched.tsv in " in refused(InputError, loaded, settings(folder, "mnli-mm"))
    endless = settings(folder, "mnli").model_copy(update={"path": "x" * 5000})
    assert "data.path: 'xxx" in refused(InputError, loaded, endless)


def cut_one_by_one(first: int, second: int, most: int) -> list[int]:
    """BERT's published rule, step by step."""
    while first + second > most:
        if first > second:
            first -= 1
        else:
            second -= 1
    return [first, second]


def test_a_pair_is_cut_as_bert_cuts_it() -> None:
    for first in range(9):
        for second in range(9):
            for most in range(1, 18):
                assert shortened([first, second], most) == cut_one_by_one(first, second, most), (first, second, most)
    assert [shortened([count], 3) for count in range(5)] == [[0], [1], [2], [3], [3]]


def test_sentences_that_are_too_long_are_cut_counted_and_told(tmp_path: Path) -> None:
    lines = ["w1 w2 w3\t0", "w1 w2 w3 w4\t1", "w1 w2 w3 w4 w5\t1"]
    folder = sentences(tmp_path / "files", lines, val=["w1 w2 w3 w4\t1"])
    data = loaded(settings(folder, "sst2", seq_len=5))
    cut = [CLS, word(1), word(2), word(3), SEP]
    assert examples(data.train) == [cut, cut, cut]
    assert data.notes[-2:] == (
        "cut to 5 tokens: 2 of 3 training examples",
        "cut to 5 tokens: 1 of 1 validation example",
    )
    assert not [note for note in loaded(settings(folder, "sst2", seq_len=7)).notes if "cut" in note]


def test_of_a_pair_the_longer_sentence_is_cut_and_the_second_begins_where_it_begins(tmp_path: Path) -> None:
    folder = sentences(tmp_path / "files", ["w1\tw2 w3 w4 w5\tentailment", "w1 w2 w3 w4\tw5\tnot_entailment"], "rte")
    data = loaded(settings(folder, "rte", seq_len=6))
    one, other = examples(data.train)
    assert one == [CLS, word(1), SEP, word(2), word(3), SEP]
    assert other == [CLS, word(1), word(2), SEP, word(5), SEP]
    assert data.train.seconds is not None
    assert data.train.seconds.tolist() == [3, 4]
    assert data.train.num_cut == 2


def test_an_empty_sentence_is_the_special_tokens_alone(tmp_path: Path) -> None:
    folder = sentences(tmp_path / "files", ["\tw1\tentailment", "\t\tnot_entailment"], "rte")
    assert examples(loaded(settings(folder, "rte")).train) == [[CLS, SEP, word(1), SEP], [CLS, SEP, SEP]]


def test_more_examples_than_are_encoded_at_once_stay_in_order(tmp_path: Path) -> None:
    lines = [f"w{i % 7} w{i % 11}\t{i % 2}" for i in range(CHUNK + 5)]
    data = loaded(settings(sentences(tmp_path / "files", lines, val=lines[:1]), "sst2"))
    assert examples(data.train) == [[CLS, word(i % 7), word(i % 11), SEP] for i in range(CHUNK + 5)]


def test_files_of_another_size_than_published_are_told(tmp_path: Path) -> None:
    data = loaded(settings(write(tmp_path / "files", "rte"), "rte"))
    assert data.notes == (
        "train.tsv of RTE has 2 examples, as published it has 2,490",
        "dev.tsv of RTE has 1 example, as published it has 277",
        "dev.tsv has no example of class not_entailment",
        "in train.tsv, too: 1 of the 1 example of dev.tsv",
    )


def test_special_tokens_of_another_name_are_used(tmp_path: Path) -> None:
    folder = sentences(tmp_path / "files", ["w1\t0", "w2\t1"])
    data = settings(folder, "sst2")
    word_tokenizer(tmp_path / "tokenizer.json", ("<s>", "<unk>", "<pad>", "</s>", "<mask>"))
    found = loaded(data)
    assert examples(found.train) == [[0, word(1), 3], [0, word(2), 3]]
    assert found.pad == 2


def many(folder: Path, subset: str = "sst2", count: int = 60) -> Path:
    """A third of the examples of class 0; or `count` different scores."""
    if subset == "stsb":
        return sentences(folder, [f"w{i % 40}\tw1\t{5 * i / count:.3f}" for i in range(count)], subset)
    return sentences(folder, [f"w{i % 40}\t{int(i % 3 > 0)}" for i in range(count)])


def test_the_limit_takes_the_classes_in_proportion_and_leaves_validation_alone(tmp_path: Path) -> None:
    folder = many(tmp_path / "files")
    data = loaded(settings(folder, "sst2", limit=30))
    assert np.bincount(data.train.labels).tolist() == [10, 20]
    assert (data.spec.num_train, data.spec.num_val) == (30, 60)
    assert loaded(settings(folder, "sst2", limit=30)).fingerprint == data.fingerprint
    whole = loaded(settings(folder, "sst2", limit=60))
    assert whole.fingerprint == loaded(settings(folder, "sst2")).fingerprint
    kept = examples(data.train)
    assert kept != examples(whole.train)[:30]


def test_the_limit_takes_scores_by_chance_in_the_order_of_the_file(tmp_path: Path) -> None:
    folder = many(tmp_path / "files", "stsb")
    smaller, larger = (loaded(settings(folder, "stsb", limit=limit)).train.labels for limit in (10, 30))
    assert (len(smaller), len(larger)) == (10, 30)
    assert set(smaller.tolist()) < set(larger.tolist())
    assert (np.diff(smaller) > 0).all()
    assert (np.diff(larger) > 0).all(), "none twice"
    assert smaller.tolist() != loaded(settings(folder, "stsb")).train.labels[:10].tolist()


@pytest.mark.parametrize(("subset", "limit"), [("sst2", 61), ("sst2", 1), ("stsb", 61)])
def test_a_limit_out_of_range_is_refused(tmp_path: Path, refused, subset: str, limit: int) -> None:
    folder = many(tmp_path / "files", subset)
    assert f"data.limit: {limit} is " in refused(InputError, loaded, settings(folder, subset, limit=limit))


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe"])
def test_a_tokenizer_is_trained_on_all_training_sentences_whatever_the_limit(tmp_path: Path, kind: str) -> None:
    folder = sentences(tmp_path / "files", ["river bank\tmoney\t1.5", "river\tmoney bank\t2"] * 9, "stsb")
    told: list[str] = []
    given = DataConfig(name="glue", path=str(folder), subset="stsb", tokenizer=kind, vocab_size=400)
    whole = glue.load(given, told.append)
    assert whole.tokenizer == loaded(given.model_copy(update={"limit": 1})).tokenizer
    assert "training the tokenizer on 36 sentences" in told
    assert {"river", "money"} <= {entry.lstrip("\u0120") for entry in json.loads(whole.tokenizer)["model"]["vocab"]}
    assert examples(whole.train)[0][0] == CLS
    assert whole.pad == 0


def test_the_fingerprint_changes_with_whatever_is_trained_or_measured_on(tmp_path: Path) -> None:
    lines = ["w1 w2\t0", "w3\t1"]
    seen = {loaded(settings(sentences(tmp_path / "files", lines), "sst2")).fingerprint}
    assert {loaded(settings(sentences(tmp_path / "files", lines), "sst2")).fingerprint} == seen
    for changed in (["w1 w2\t1", "w3\t0"], ["w1\t0", "w2 w3\t1"], ["w3\t1", "w1 w2\t0"]):
        seen.add(loaded(settings(sentences(tmp_path / "files", changed, val=lines), "sst2")).fingerprint)
        seen.add(loaded(settings(sentences(tmp_path / "files", lines, val=changed), "sst2")).fingerprint)
    other = word_tokenizer(tmp_path / "other.json", ("[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"))
    seen.add(loaded(settings(sentences(tmp_path / "files", lines), "sst2", tokenizer=str(other))).fingerprint)
    assert len(seen) == 8


def test_sentences_cannot_be_changed_by_accident(tmp_path: Path) -> None:
    data = loaded(settings(write(tmp_path / "files", "rte"), "rte"))
    with pytest.raises(AttributeError):
        data.pad = 1  # type: ignore[misc]
    assert replace(data, pad=1).pad == 1


def test_a_tokenizer_file_needs_what_opens_ends_and_fills_up(tmp_path: Path, refused) -> None:
    path = written(tmp_path / "t5.json", of_t5().to_str())
    data = settings(write(tmp_path / "files", "rte"), "rte").model_copy(update={"tokenizer": path})
    message = refused(InputError, loaded, data)
    assert message.startswith(f"data.tokenizer: {path!r}: has no entry to open with ([CLS], <s>, <bos> or the like)")
    assert "its special entries: <pad>, </s>, <unk>" in message


@pytest.mark.real_data
def test_sst2_has_its_published_sizes_and_classes(real_data: Path, tmp_path: Path) -> None:
    words = str(word_tokenizer(tmp_path / "tokenizer.json"))
    data = loaded(DataConfig(name="glue", subset="sst2", tokenizer=words, seq_len=64))
    assert (data.spec.num_train, data.spec.num_val, data.spec.num_test) == (67_349, 872, 0)
    assert (len(data.train), len(data.val)) == (67_349, 872)
    assert np.bincount(data.train.labels).tolist() == [29_780, 37_569]
    assert np.bincount(data.val.labels).tolist() == [428, 444]
    assert data.notes == (), "sizes as published, and no sentence has more than 62 words"


@pytest.mark.parametrize("name", ["valid.tsv", "Validation.tsv", "DEV.TSV"])
def test_the_validation_file_goes_by_its_usual_names(tmp_path: Path, refused, name: str) -> None:
    folder = sentences(tmp_path / "files", ["w1\t0", "w2\t1"], val=["w3\t0", "w4\t1"])
    expected = loaded(settings(folder, "sst2")).fingerprint
    (folder / "dev.tsv").rename(folder / name)
    assert loaded(settings(folder, "sst2")).fingerprint == expected
    (folder / "val.tsv").write_bytes((folder / name).read_bytes())
    assert "two names of one split" in refused(InputError, loaded, settings(folder, "sst2"))


def test_the_validation_files_of_mnli_are_told_apart_under_every_name(tmp_path: Path) -> None:
    folder = write(tmp_path / "files", "mnli")
    expected = loaded(settings(folder, "mnli")).fingerprint
    (folder / "dev_matched.tsv").rename(folder / "valid_matched.tsv")
    (folder / "dev_mismatched.tsv").write_text("other")
    assert loaded(settings(folder, "mnli")).fingerprint == expected


def test_one_class_in_all_training_lines_is_refused(tmp_path: Path, refused) -> None:
    folder = sentences(tmp_path / "files", ["w1\t1", "w2\t1"], val=["w1\t0"])
    message = refused(InputError, loaded, settings(folder, "sst2"))
    assert "train.tsv': label is '1' in every line, so there is nothing to tell apart; accepted: 0, 1" in message


def test_examples_that_are_trained_and_measured_on_are_told_whatever_their_label(tmp_path: Path) -> None:
    folder = sentences(tmp_path / "files", ["w1\t0", "w2\t1"], val=["w1\t1", "w3\t0", "w2\t1"])
    assert "in train.tsv, too: 2 of the 3 examples of dev.tsv" in loaded(settings(folder, "sst2")).notes
