"""GLUE's files: every layout, columns by name, text as it is, and what is refused, with the line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minform_cli.data.glue.table import read_table
from minform_cli.data.glue.tasks import GLUE
from minform_cli.errors import InputError
from tests.data.glue.published import PUBLISHED, VAL_FILES, mnli, write

SST2 = GLUE["sst2"]


def file(tmp_path: Path, content: str | bytes, name: str = "train.tsv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_the_layout_of_every_task_is_tested() -> None:
    assert set(PUBLISHED) == set(GLUE)


@pytest.mark.parametrize("subset", PUBLISHED)
def test_a_file_as_published_gives_its_sentences_and_labels(tmp_path: Path, subset: str) -> None:
    published, task = PUBLISHED[subset], GLUE[subset]
    table = read_table(write(tmp_path, subset) / "train.tsv", task)
    assert table.texts == published.texts
    assert table.labels.dtype == (np.float32 if subset == "stsb" else np.int64)
    assert table.labels.tolist() == np.array(published.labels, dtype=table.labels.dtype).tolist()
    assert task.class_names == published.class_names
    val = read_table(tmp_path / VAL_FILES.get(subset, "dev.tsv"), task)
    assert len(val) == 1
    assert [len(column) for column in val.texts] == [1] * len(published.texts)


def test_columns_are_found_by_name_in_any_order_and_the_others_do_not_matter(tmp_path: Path) -> None:
    reordered = file(tmp_path, "label\tmore\tsentence\n1\tx\tw1\n0\ty\tw2\n")
    table = read_table(reordered, SST2)
    assert (table.texts, table.labels.tolist()) == ((["w1", "w2"],), [1, 0])
    pairs = file(tmp_path, "label\tsentence2\tsentence1\nentailment\tsecond\tfirst\n")
    assert read_table(pairs, GLUE["rte"]).texts == (["first"], ["second"])


def test_a_sentence_may_be_called_content(tmp_path: Path) -> None:
    table = read_table(file(tmp_path, "label\tcontent\n1\tw1\n"), SST2)
    assert (table.texts, table.labels.tolist()) == ((["w1"],), [1])


def test_cola_with_a_header_is_read_by_it(tmp_path: Path) -> None:
    table = read_table(file(tmp_path, "label\tsentence\n1\tw1\n"), GLUE["cola"])
    assert (table.texts, table.labels.tolist()) == ((["w1"],), [1])


def test_a_number_of_stsb_may_be_either_end_of_its_range(tmp_path: Path) -> None:
    lines = "sentence1\tsentence2\tscore\na\tb\t0\na\tb\t5.0\na\tb\t2.5e0\n"
    assert read_table(file(tmp_path, lines), GLUE["stsb"]).labels.tolist() == [0.0, 5.0, 2.5]


@pytest.mark.parametrize(
    "text",
    ['"quoted', "say \"no\" , 'x'", "a\x0bb", "a\x0cb", "a\x1cb", "a\x85b", "a\u2028b", "a\rb", "caf\u00e9", "", " "],
)
def test_text_is_taken_as_it_stands(tmp_path: Path, text: str) -> None:
    table = read_table(file(tmp_path, f"sentence\tlabel\n{text}\t1\nb\t0\n"), SST2)
    assert table.texts == ([text, "b"],)


def test_windows_line_ends_a_byte_order_mark_and_empty_last_lines_do_no_harm(tmp_path: Path) -> None:
    table = read_table(file(tmp_path, b"\xef\xbb\xbfsentence\tlabel\r\nw1\t1\r\nw2\t0\r\n\r\n\n"), SST2)
    assert (table.texts, table.labels.tolist()) == ((["w1", "w2"],), [1, 0])
    assert len(read_table(file(tmp_path, "sentence\tlabel\nw1\t1"), SST2)) == 1


BROKEN = [
    ("sst2", "sentence\tlabel\na\t1\nb\n", "train.tsv:3: 1 column, not the 2 of an example; correct or remove"),
    ("sst2", "sentence\tlabel\na\tb\t1\n", "train.tsv:2: 3 columns, not the 2 of an example"),
    ("sst2", "sentence\tlabel\na\t2\n", "train.tsv:2: label is '2'; accepted: 0, 1"),
    ("sst2", "sentence\tlabel\na\t\n", "train.tsv:2: label is ''; accepted: 0, 1"),
    ("sst2", "sentence\tlabel\na\t1 \n", "train.tsv:2: label is '1 '; accepted: 0, 1"),
    ("sst2", f"sentence\tlabel\na\t{'x' * 99}\n", f"train.tsv:2: label is '{'x' * 40}...'; accepted: 0, 1"),
    ("sst2", "sentence\tlabel\na\t\x07\n", "label is '\\x07'"),
    ("sst2", "sentence\tlabel\na\t1\n\nb\t0\n", "train.tsv:3: the line is empty"),
    ("sst2", "sentence\tlabel\na\t1\n\n\r\nb\t0\n", "train.tsv:3: the line is empty"),
    ("sst2", "a\t1\nb\t0\n", "train.tsv:1: no column 'sentence' and none 'label' in the header; expected"),
    ("sst2", "sentence\tclass\na\t1\n", "no column 'label' in the header; expected, in any order: sentence, label; "),
    ("sst2", "sentence\tclass\na\t1\n", "found: 'sentence, class'"),
    ("sst2", "label\tlabel\tsentence\n1\t1\ta\n", "train.tsv:1: 2 columns are called 'label'; accepted: one"),
    ("sst2", "", "train.tsv' is empty; accepted: SST-2's examples"),
    ("sst2", "\n\n", "train.tsv' is empty"),
    ("sst2", "sentence\tlabel\n", "train.tsv' has a header and no examples"),
    ("sst2", b"sentence\tlabel\na\t1\ncaf\xe9\t0\n", "train.tsv: line 3 is not UTF-8"),
    ("sst2", "sentence\tlabel\na\t1\n".encode("utf-16"), "train.tsv: line 1 holds a NUL byte"),
    ("cola", "gj04\t1\t\ta\ngj04\t1\ta\n", "train.tsv:2: 3 columns, not the 4 of an example"),
    ("cola", "a sentence\t1\n", "train.tsv:1: 2 columns, not the 4 of an example"),
    ("cola", "gj04\t-1\t\ta\n", "train.tsv:1: label is '-1'; accepted: 0, 1"),
    ("mrpc", "Quality\t#1 ID\t#2 ID\t#1 String\n1\t1\t2\ta\n", "no column '#2 String' in the header"),
    ("qqp", PUBLISHED["qqp"].header + "\n1\t2\t3\ta\n\tb\t0\n", "train.tsv:2: 4 columns, not the 6 of an example; "),
    ("qqp", PUBLISHED["qqp"].header + "\n1\t2\t3\ta\n\tb\t0\n", "example; line 3 likewise: correct or remove them"),
    ("mnli", f"{PUBLISHED['mnli'].header}\n{mnli('a', 'b', '-')}\n", "train.tsv:2: gold_label '-' is no label"),
    ("mnli", f"{PUBLISHED['mnli'].header}\n{mnli('a', 'b', 'hidden')}\n", "gold_label is 'hidden'; accepted: entailm"),
    ("rte", "sentence1\tsentence2\tlabel\na\tb\t1\n", "label is '1'; accepted: entailment, not_entailment"),
    *(
        ("stsb", f"sentence1\tsentence2\tscore\na\tb\t{score}\n", f"score is '{score}'; accepted: a number from 0 to 5")
        for score in ("5.01", "-0.1", "nan", "inf", "", "x")
    ),
]


@pytest.mark.parametrize(("subset", "content", "said"), BROKEN)
def test_what_is_broken_is_refused_with_its_line(tmp_path: Path, refused, subset: str, content, said: str) -> None:
    assert said in refused(InputError, read_table, file(tmp_path, content), GLUE[subset])


def test_many_broken_lines_are_told_at_once_and_no_more_than_can_be_read(tmp_path: Path, refused) -> None:
    path = file(tmp_path, "sentence\tlabel\n" + "a\t7\n" * 1234)
    message = refused(InputError, read_table, path, SST2)
    assert "train.tsv:2: label is '7'" in message
    assert "; lines 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 1,223 more likewise" in message


def test_what_is_no_file_is_refused(tmp_path: Path, refused) -> None:
    assert "cannot be read" in refused(InputError, read_table, tmp_path / "absent.tsv", SST2)
    assert "cannot be read" in refused(InputError, read_table, tmp_path, SST2)


def test_a_folder_with_an_odd_name_still_gives_one_line(tmp_path: Path, refused) -> None:
    folder = tmp_path / "a\nb"
    folder.mkdir()
    assert "a\\nb/train.tsv:2" in refused(InputError, read_table, file(folder, "sentence\tlabel\na\t7\n"), SST2)


@pytest.mark.parametrize(
    ("subset", "whole", "left_out"), [("qqp", 2_000, True), ("qqp", 1_900, False), ("rte", 2_000, False)]
)
def test_a_few_lines_without_all_columns_are_left_out_where_the_published_file_has_such(
    tmp_path: Path, subset: str, whole: int, left_out: bool
) -> None:
    published = PUBLISHED[subset]
    path = file(tmp_path, "\n".join([published.header, *[published.train[0]] * whole, "a\tb", "c"]) + "\n")
    if not left_out:
        with pytest.raises(InputError, match=f"train.tsv:{whole + 2}: 2 columns"):
            read_table(path, GLUE[subset])
        return
    table = read_table(path, GLUE[subset])
    assert (len(table), table.num_broken) == (whole, 2)
