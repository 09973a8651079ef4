"""With what translations are measured: chosen by their script, told, kept by the run; what no figure could show."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from minform_cli.config.presets import resolve
from minform_cli.config.schema import RunConfig
from minform_cli.errors import InputError
from minform_cli.files import RunFolder
from minform_cli.runs.folder import read_meta, stored_config
from minform_cli.runs.progress import Progress
from minform_cli.runs.records import read_result
from minform_cli.training.evaluate import evaluate_run
from minform_cli.training.run import dry_run, train
from tests.data.text.prose import written
from tests.training.test_text import interrupted
from tests.training.test_translation import RECIPE, sentences, translated

CHINESE = {
    "the": "我们",
    "old": "喜欢",
    "dog": "红色",
    "sees": "苹果",
    "small": "今天",
    "red": "学习",
    "bird": "语言",
    "near": "模型",
}


def run(folder: Path, words: dict[str, str], *more: str, joined: str = "") -> RunConfig:
    """A run of one epoch on 60 sentences and the same in the language of `words`, their words `joined`."""
    source = sentences(60, 0)
    target = [joined.join(words[word] for word in sentence.split()) for sentence in source]
    sets = [*RECIPE, "train.epochs=1", "data.vocab_size=400", "data.seq_len=60", "data.tokenizer=byte-bpe"]
    for side, texts in (("source", source), ("target", target)):
        path = written(folder / side, "".join(f"{text}\n" for text in texts))
        sets.append(f"data.{side}={path}")
    return resolve("multi30k-tiny", "baseline", [*sets, *more]).config


def notes_of(config: RunConfig, out: Path, **options: bool) -> list[str]:
    told: list[Progress] = []
    train(config, out, device="cpu", threads=1, on_progress=told.append, **options)  # type: ignore[arg-type]
    return [news.text for news in told if news.kind == "note"]


def kept(out: Path) -> str:
    folder = RunFolder(out)
    return stored_config(folder, read_meta(folder)).data.bleu_tokenizer


def test_a_run_into_chinese_counts_bleu_over_characters_says_so_and_is_measured_again_likewise(tmp_path: Path) -> None:
    config = run(tmp_path, CHINESE)
    told = notes_of(config, tmp_path / "run")
    assert any("sacrebleu's tokeniser zh" in note and "data.bleu_tokenizer" in note for note in told)
    assert kept(tmp_path / "run") == "zh"
    assert "|tok:zh|" in read_result(tmp_path / "run")["measured_by"]["bleu"]
    again = evaluate_run(tmp_path / "run", device="cpu", threads=1)
    assert again["measured"]["bleu"] == read_result(tmp_path / "run")["metrics"]["val_bleu"]
    assert any("|tok:zh|" in note for note in again["notes"])
    for chosen, used in (("char", "char"), ("auto", "zh")):
        other = evaluate_run(tmp_path / "run", settings=[f"data.bleu_tokenizer={chosen}"], device="cpu", threads=1)
        assert any(f"|tok:{used}|" in note for note in other["notes"])
    assert any("sacrebleu's tokeniser zh" in note for note in dry_run(config, device="cpu", threads=1)["notes"])


def test_languages_with_spaces_are_measured_as_before_without_a_word(tmp_path: Path) -> None:
    german = dict(zip(CHINESE, translated(list(CHINESE)), strict=True))
    told = notes_of(run(tmp_path, german, joined=" "), tmp_path / "run")
    assert not any("BLEU" in note for note in told)
    assert kept(tmp_path / "run") == "13a"
    assert "|tok:13a|" in read_result(tmp_path / "run")["measured_by"]["bleu"]


def test_a_run_that_was_begun_with_another_tokeniser_goes_on_with_it(tmp_path: Path) -> None:
    config = run(tmp_path, CHINESE, "train.epochs=2")
    out = interrupted(run(tmp_path, CHINESE, "train.epochs=2", "data.bleu_tokenizer=13a"), tmp_path / "run", 3)
    with pytest.raises(InputError, match=r"data\.bleu_tokenizer is '13a' there and 'char' here"):
        train(run(tmp_path, CHINESE, "train.epochs=2", "data.bleu_tokenizer=char"), out, resume=True)
    notes_of(config, out, resume=True)
    assert "|tok:13a|" in read_result(out)["measured_by"]["bleu"]


def test_runs_of_earlier_versions_had_13a() -> None:
    config = resolve("multi30k-tiny", "baseline").config
    described = config.model_dump(mode="json")
    del described["data"]["bleu_tokenizer"]
    assert stored_config(RunFolder(Path("run")), {"config": described}).data.bleu_tokenizer == "13a"


def test_what_is_left_to_be_chosen_is_no_part_of_a_config_s_identity() -> None:
    config = resolve("multi30k-tiny", "baseline").config
    assert "bleu_tokenizer" not in config.identity()["data"]  # type: ignore[operator]
    assert config.with_bleu_tokenizer("zh").identity() != config.with_bleu_tokenizer("char").identity()


def test_sentences_too_short_for_bleu_are_told_of(tmp_path: Path) -> None:
    config = run(tmp_path, CHINESE, "data.bleu_tokenizer=13a")
    (note,) = [note for note in dry_run(config, device="cpu", threads=1)["notes"] if note.startswith("BLEU is 0")]
    assert "no validation sentence has 4 words" in note


def test_what_a_tokenizer_that_cannot_spell_the_translations_costs_at_most_is_told(tmp_path: Path) -> None:
    chosen = random.Random(0)
    korean = {word: "".join(chosen.choices("가나다라마바사각난닫", k=2)) for word in CHINESE}
    english = {word: word for word in CHINESE}
    for words, joined, kind, lost in (
        (korean, " ", "wordpiece", True),  # which takes accents from letters, and Hangul apart
        (korean, " ", "byte-bpe", False),
        (CHINESE, "", "wordpiece", False),  # which puts spaces between letters, where BLEU of Chinese sees none
        (english, " ", "wordpiece", False),
    ):
        sets = (f"data.tokenizer={kind}", "data.bleu_tokenizer=char")
        notes = dry_run(run(tmp_path, words, *sets, joined=joined), device="cpu", threads=1)["notes"]
        told = [note for note in notes if "cannot spell" in note]
        assert bool(told) == lost
        if told:
            assert told[0].startswith("a translation without a mistake has BLEU 0.00 and chrF2 ")


def test_tasks_that_translate_nothing_refuse_a_tokeniser_for_bleu(tmp_path: Path) -> None:
    config = resolve("debug", "baseline", ["data.bleu_tokenizer=zh"]).config
    with pytest.raises(InputError, match=r"data\.bleu_tokenizer: task 'classify-images' translates nothing"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
