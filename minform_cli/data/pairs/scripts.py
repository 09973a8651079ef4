"""In which script sentences are written, as far as it decides how words are told apart."""

from __future__ import annotations

import re
from typing import Literal

from minform_cli.data.pairs.files import SentenceFile

Script = Literal["spaced", "han", "kana", "hangul", "unspaced"]
"""`spaced` sets words apart by spaces; `unspaced` is Thai, Lao, Khmer, Burmese or Tibetan."""

MOST_LOOKED_AT = 10_000
"""Sentences, from all over the file."""

KANA_SHARE = 0.05
"""Of the letters of han and kana; Japanese has about a half, a Chinese text with Japanese names hardly any."""

_LETTERS = {
    "han": "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3100-\u312f\u31a0-\u31bf\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U000323af",
    "kana": "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d",
    "hangul": "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff\uffa0-\uffdc",
    "unspaced": "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\ua9e0-\ua9ff\uaa60-\uaa7f",
}
_PATTERNS = {script: re.compile(f"[{letters}]") for script, letters in _LETTERS.items()}
_WORD = re.compile(rf"[^\W\d_{''.join(_LETTERS.values())}]+")


def script_of(file: SentenceFile) -> Script:
    """The script of most words of `file`, each letter of a script other than `spaced` taken for one.

    Raises:
        InputError: the file has changed since it was looked through.
    """
    step, first = -(-file.num // MOST_LOOKED_AT), 0
    num: dict[str, int] = dict.fromkeys(("spaced", *_PATTERNS), 0)
    for block in file.blocks():
        text = "\n".join(block[-first % step :: step])
        first += len(block)
        num["spaced"] += len(_WORD.findall(text))
        for script, pattern in _PATTERNS.items():
            num[script] += len(pattern.findall(text))
    east_asian = num["han"] + num["kana"]
    if east_asian > max(num["spaced"], num["hangul"], num["unspaced"]):
        return "kana" if num["kana"] >= KANA_SHARE * east_asian else "han"
    if num["hangul"] > max(num["spaced"], num["unspaced"]):
        return "hangul"
    return "unspaced" if num["unspaced"] > num["spaced"] else "spaced"
