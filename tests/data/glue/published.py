"""Files as GLUE publishes them, in miniature: its columns in its order, its labels, and what must be read from them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer, models, pre_tokenizers

from minform_cli.config.schema import DataConfig

MNLI_TRAIN = (
    "index\tpromptID\tpairID\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t"
    "sentence1\tsentence2\tlabel1\tgold_label"
)
MNLI_DEV = MNLI_TRAIN.replace("label1", "label1\tlabel2\tlabel3\tlabel4\tlabel5")
STSB = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"
PAIR = "index\tsentence1\tsentence2\tlabel"


class Published(NamedTuple):
    """Header (empty: none), lines of the training file, lines of the validation file, and what they say."""

    header: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    texts: tuple[list[str], ...]
    labels: list[float]
    class_names: tuple[str, ...]
    val_header: str = ""


def mnli(first: str, second: str, label: str, others: int = 1) -> str:
    return "\t".join(
        ["0", "9c", "9ce", "( b )", "( b )", "(R a)", "(R b)", first, second, *["neutral"] * others, label]
    )


PUBLISHED = {
    "cola": Published(
        "",
        ("gj04\t1\t\tw1 w2", "gj04\t0\t*\tw3"),
        ("bc01\t1\t\tw4",),
        (["w1 w2", "w3"],),
        [1, 0],
        ("unacceptable", "acceptable"),
    ),
    "sst2": Published(
        "sentence\tlabel", ("w1 \t0", "w2 w3 \t1"), ("w1\t1",), (["w1 ", "w2 w3 "],), [0, 1], ("negative", "positive")
    ),
    "mrpc": Published(
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        ("1\t702876\t702977\tw1 w2\tw3", "0\t1\t2\tw4\tw5"),
        ("1\t1\t2\tw1\tw1",),
        (["w1 w2", "w4"], ["w3", "w5"]),
        [1, 0],
        ("not_equivalent", "equivalent"),
    ),
    "stsb": Published(
        STSB,
        (
            "0\tmain-captions\tMSRvid\t2012test\t0001\tnone\tnone\tw1\tw2 w3\t5.000",
            "1\tmain\tM\t2012\t0\tn\tn\tw4\tw5\t3.8",
        ),
        ("0\tmain\tM\t2012\t0\tn\tn\tw1\tw1\t0.000",),
        (["w1", "w4"], ["w2 w3", "w5"]),
        [5.0, 3.8],
        (),
    ),
    "qqp": Published(
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        ("133273\t213221\t213222\tw1\tw2\t0", "1\t2\t3\tw3\tw4\t1"),
        ("1\t2\t3\tw3\tw4\t1",),
        (["w1", "w3"], ["w2", "w4"]),
        [0, 1],
        ("not_duplicate", "duplicate"),
    ),
    "mnli": Published(
        MNLI_TRAIN,
        (mnli("w1", "w2", "contradiction"), mnli("w3", "w4", "entailment"), mnli("w5", "w6", "neutral")),
        (mnli("w1", "w2", "entailment", 5),),
        (["w1", "w3", "w5"], ["w2", "w4", "w6"]),
        [2, 0, 1],
        ("entailment", "neutral", "contradiction"),
        MNLI_DEV,
    ),
    "qnli": Published(
        "index\tquestion\tsentence\tlabel",
        ("0\tw1\tw2\tnot_entailment", "1\tw3\tw4\tentailment"),
        ("0\tw1\tw2\tentailment",),
        (["w1", "w3"], ["w2", "w4"]),
        [1, 0],
        ("entailment", "not_entailment"),
    ),
    "rte": Published(
        PAIR,
        ("0\tw1\tw2\tnot_entailment", "1\tw3\tw4\tentailment"),
        ("0\tw1\tw2\tentailment",),
        (["w1", "w3"], ["w2", "w4"]),
        [1, 0],
        ("entailment", "not_entailment"),
    ),
    "wnli": Published(
        PAIR,
        ("0\tw1\tw2\t1", "1\tw3\tw4\t0"),
        ("0\tw1\tw2\t0",),
        (["w1", "w3"], ["w2", "w4"]),
        [1, 0],
        ("not_entailment", "entailment"),
    ),
}
PUBLISHED["mnli-mm"] = PUBLISHED["mnli"]._replace(val=(mnli("w7", "w8", "neutral", 5),))

VAL_FILES = {"mnli": "dev_matched.tsv", "mnli-mm": "dev_mismatched.tsv"}


def write(folder: Path, subset: str) -> Path:
    """The files of `subset`, below `folder`, which is returned."""
    published = PUBLISHED[subset]
    folder.mkdir(parents=True, exist_ok=True)
    for name, header, lines in (
        ("train.tsv", published.header, published.train),
        (VAL_FILES.get(subset, "dev.tsv"), published.val_header or published.header, published.val),
    ):
        (folder / name).write_text("\n".join([*([header] if header else []), *lines]) + "\n", encoding="utf-8")
    return folder


SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = range(5)


def word_tokenizer(path: Path, special: tuple[str, ...] = SPECIAL) -> Path:
    """A tokenizer file whose entries are words: ``w1`` is 6, ``w2`` is 7, ..."""
    entries = {name: number for number, name in enumerate([*special, *(f"w{i}" for i in range(40))])}
    tokenizer = Tokenizer(models.WordLevel(entries, unk_token=special[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(list(special))
    tokenizer.save(str(path))
    return path


def word(number: int) -> int:
    """The entry of ``w<number>``."""
    return len(SPECIAL) + number


def settings(folder: Path, subset: str, **settings: object) -> DataConfig:
    """A data section over `folder` with `word_tokenizer`, written beside it."""
    tokenizer = str(word_tokenizer(folder.parent / "tokenizer.json"))
    return DataConfig(**{"name": "glue", "path": str(folder), "subset": subset, "tokenizer": tokenizer, **settings})
