"""The script of a file of sentences, by most of its words."""

from pathlib import Path

import pytest

from minform_cli.data.pairs import scripts
from minform_cli.data.pairs.files import open_pairs
from minform_cli.data.pairs.scripts import script_of
from tests.data.text.prose import written

HAN = "我今天在图书馆学习语言模型。"
TEXTS = {
    "han": [HAN, "用 Python 写 machine learning 的代码效果很好。", "㐀𠀀〇"],
    "kana": ["今日は図書館で勉強します。", "コーヒーを飲む", "ｶﾀｶﾅ"],
    "hangul": ["나는 오늘 도서관에서 공부한다", "ㄱㄴ 한국어"],
    "unspaced": ["วันนี้ฉันเรียนภาษา", "ຂ້ອຍຮຽນພາສາ", "ខ្ញុំរៀនភាសា", "ကျွန်တော်စာသင်တယ်", "བོད་སྐད"],
    "spaced": ["A man eats.", "Ein Mann isst.", "Человек ест.", "الرجل يأكل", "आदमी खाता है", "12 345 !?", "a 中 b c d"],
}


@pytest.mark.parametrize(("script", "text"), [(name, text) for name, texts in TEXTS.items() for text in texts])
def test_a_text_is_of_the_script_of_most_of_its_words(script: str, text: str, tmp_path: Path) -> None:
    assert script_of_lines(tmp_path, [text]) == script


def test_a_few_names_in_another_script_change_nothing(tmp_path: Path) -> None:
    assert script_of_lines(tmp_path, [HAN] * 9 + ["コナン"]) == "han"
    assert script_of_lines(tmp_path, ["the man eats an apple"] * 9 + [HAN]) == "spaced"


def test_sentences_are_looked_at_all_over_a_long_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "MOST_LOOKED_AT", 4)
    assert script_of_lines(tmp_path, ["a man eats an apple in a tree"] * 2 + [HAN] * 18) == "han"


def script_of_lines(folder: Path, lines: list[str]) -> str:
    path = written(folder / "file", "".join(f"{line}\n" for line in lines))
    return script_of(open_pairs("data.source", path, "data.target", path).target)
