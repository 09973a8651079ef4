"""BLEU and chrF of a split: within 0 to 1, and without a word of sacrebleu's own."""

import pytest

from minform_cli.tasks.text_metrics import measured, signatures


def test_the_same_texts_have_one_and_others_have_zero() -> None:
    texts = ["a b c d ."] * 150  # sacrebleu's own score of these is 100.00000000000004
    assert measured(texts, texts) == {"bleu": 1.0, "chrf": 1.0}
    assert measured(["x"] * 2, ["y"] * 2) == {"bleu": 0.0, "chrf": 0.0}


def test_nothing_is_said_about_sentences_that_end_in_a_separate_point(capfd: pytest.CaptureFixture[str]) -> None:
    measured(["a b c d ."] * 150, ["a b c e ."] * 150)
    assert capfd.readouterr() == ("", "")


def test_signatures_say_how_texts_were_split() -> None:
    found = signatures()
    assert found["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert found["chrf"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
