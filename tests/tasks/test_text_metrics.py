"""BLEU and chrF of a split: within 0 to 1, over the words of its language, and without a word of sacrebleu's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from minform_cli.errors import InputError
from minform_cli.tasks import text_metrics
from minform_cli.tasks.text_metrics import check_tokenizer, chosen_for, measured, num_words, signatures


def test_the_same_texts_have_one_and_others_have_zero() -> None:
    texts = ["a b c d ."] * 150  # sacrebleu's own score of these is 100.00000000000004
    assert measured(texts, texts, "13a") == {"bleu": 1.0, "chrf": 1.0}
    assert measured(["x"] * 2, ["y"] * 2, "13a") == {"bleu": 0.0, "chrf": 0.0}


def test_nothing_is_said_about_sentences_that_end_in_a_separate_point(capfd: pytest.CaptureFixture[str]) -> None:
    measured(["a b c d ."] * 150, ["a b c e ."] * 150, "13a")
    assert capfd.readouterr() == ("", "")


def test_signatures_say_how_texts_were_split() -> None:
    found = signatures("13a")
    assert found["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert found["chrf"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
    assert "|tok:char|" in signatures("char")["bleu"]


def test_chinese_without_spaces_has_a_bleu_by_its_own_tokeniser_alone() -> None:
    texts = ["我们喜欢苹果", "今天学习语言"]
    assert measured(texts, texts, "13a")["bleu"] == 0
    for tokenizer in ("zh", "char"):
        assert measured(texts, texts, tokenizer) == {"bleu": 1.0, "chrf": 1.0}
        spaced = [" ".join(text) for text in texts]  # as a WordPiece tokenizer writes them
        assert measured(spaced, texts, tokenizer) == {"bleu": 1.0, "chrf": 1.0}
    assert [num_words(texts[0], tokenizer) for tokenizer in ("13a", "zh", "char")] == [1, 6, 6]


def test_the_tokeniser_goes_by_the_script_and_by_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_for("spaced") == ("13a", "")
    assert chosen_for("han")[0] == "zh"
    assert chosen_for("unspaced")[0] == "char"
    for script, name, package in (("kana", "ja-mecab", "ja"), ("hangul", "ko-mecab", "ko")):
        monkeypatch.setattr(text_metrics, "find_spec", lambda _module: None)
        chosen, said = chosen_for(script)
        assert chosen == "char"
        assert f"{name} needs pip install 'sacrebleu[{package}]'" in said
        monkeypatch.setattr(text_metrics, "find_spec", lambda module: module)
        assert chosen_for(script)[0] == name


@pytest.mark.parametrize("name", ["ja-mecab", "ko-mecab", "flores101", "flores200", "spBLEU-1K"])
def test_a_tokeniser_that_is_not_here_is_refused_with_what_to_install_and_nothing_is_fetched(
    name: text_metrics.BleuTokenizer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(text_metrics, "SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr(text_metrics, "find_spec", lambda _module: None)
    with pytest.raises(InputError, match=rf"^data\.bleu_tokenizer: '{name}' needs pip install .*; accepted.*, char$"):
        check_tokenizer(name)
    if name in text_metrics._SENTENCEPIECE:
        monkeypatch.setattr(text_metrics, "find_spec", lambda module: module)
        with pytest.raises(InputError, match=f"needs the file .* in {tmp_path}"):
            check_tokenizer(name)


@pytest.mark.parametrize("name", ["auto", "13a", "intl", "zh", "char", "none"])
def test_the_others_need_nothing(name: text_metrics.BleuTokenizer) -> None:
    check_tokenizer(name)


def test_a_tokeniser_that_fails_to_load_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_metrics, "find_spec", lambda module: module)
    with pytest.raises(InputError, match="'ja-mecab' cannot be loaded: Japanese tokenization requires") as caught:
        check_tokenizer("ja-mecab")  # MeCab is found and cannot be imported
    assert "\n" not in str(caught.value)
