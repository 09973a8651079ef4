"""The HTML report: the tables' own numbers, nothing from outside, harmless names, pictures that say what they show."""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.util
import io
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from PIL import Image

from minform_cli.report import heat
from minform_cli.report.compare_table import compare_caption, compare_table
from minform_cli.report.curves import bands, learning_figures
from minform_cli.report.fit import fit
from minform_cli.report.formats import FittedTable
from minform_cli.report.html import answer, study_html
from minform_cli.report.records import CompareRecord, ShownExample
from tests.report.pages import Page, report, run_details
from tests.report.records import compare_record


def test_the_tables_show_the_very_cells_of_compare() -> None:
    made = report()
    table = compare_table(made.records)
    assert isinstance(table, FittedTable)
    grid = fit(table.records, table.columns, None, gap=1)[0]
    page = Page(study_html(made))
    assert page.tables[0] == [grid.headers, *grid.rows]
    assert all(line in page.text for line in compare_caption(made.records, made.results))
    statistics = page.tables[1]
    assert [row[0] for row in statistics[1:]] == ["no-mlp", "no-mlp+collapsed-qk"]
    assert statistics[1][2:] == ["-0.50", "[-1.50, +0.50]", "0.012", "0.048"]


def test_a_verdict_and_the_seeds_that_would_decide_are_shown_when_asked_for() -> None:
    records = [compare_record(i) for i in range(4)]
    for record, verdict, needed in zip(records[1:], ("yes", "undecided", "no"), (None, 17, None), strict=True):
        record["margin"], record["not_worse"], record["seeds_needed"] = 0.01, verdict, needed  # type: ignore[typeddict-item]
    page = Page(study_html(report(records=records)))
    assert [row[-2:] for row in page.tables[1][1:]] == [["yes", "-"], ["undecided", "17"], ["no", "-"]]
    assert "Not worse than the baseline by more than 1 point: no-mlp (34.49 % of the parameters)." in page.text
    assert answer(records)[2].startswith("Undecided whether worse than the baseline by more than 1 point: no-mlp+coll")


def test_one_seed_and_no_baseline_say_that_nothing_can_be_said() -> None:
    page = Page(study_html(report(2, 1)))
    assert "one seed, so nothing can be said about how sure that is" in page.text
    assert "nothing can be said about the significance of a difference" in page.text
    assert answer([compare_record(0)]) == [
        "Nothing was compared: the baseline was not trained, or is the only variant."
    ]
    Page(study_html(report(1)))


def test_the_page_needs_nothing_from_outside_and_is_well_formed() -> None:
    whole = study_html(report())
    text, page = SCRIPT.sub("", whole), Page(whole)
    assert page.open == []
    assert not re.search(r"https?:|//|@import|javascript", text)
    assert not {"link", "iframe", "object", "form"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert all(match.startswith("#") for match in re.findall(r"url\(([^)]*)\)", text))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)
    assert used and {a or b for a, b in used} <= set(ids)


def test_the_one_script_is_ours_and_the_only_one_that_the_page_lets_run() -> None:
    page = Page(text := study_html(report()))
    (script,) = SCRIPT.findall(text)
    assert script == Path(heat.__file__).with_name("templates").joinpath("page.js").read_text(encoding="utf-8")
    assert len(script.splitlines()) <= 400 and max(map(len, script.splitlines())) <= 120
    policy = next(str(meta["content"]) for meta in page.all("meta") if "http-equiv" in meta)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert re.findall(r"script-src ([^;]*)", policy) == [f"'sha256-{digest}'"]
    assert policy.startswith("default-src 'none'; ")
    reaching = (
        r"https?:|\bimport\b|fetch|XMLHttp|WebSocket|EventSource|sendBeacon|eval|Function\(|innerHTML|cookie|Storage"
    )
    assert not re.search(reaching, script)


def test_every_picture_says_what_it_shows() -> None:
    page = Page(study_html(report()))
    assert len(page.all("svg")) == 4
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in page.all("svg"))
    assert len(page.all("img")) == 1 + 3 * 2 + 2
    for picture in page.all("img"):
        assert picture["alt"]
        with Image.open(io.BytesIO(base64.b64decode(str(picture["src"]).partition(",")[2]))) as image:
            image.verify()


SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>$\\nonsense{$\x1b[31m"


def test_hostile_names_are_shown_and_do_nothing() -> None:
    made = report()
    record = made.records[1]
    grid = {"model.bias": HOSTILE}
    for changed in (record, made.results[2], made.results[3], made.details["runs"][2], made.details["runs"][3]):
        changed["variant"] = HOSTILE
    for changed in (*made.records, *made.results, *made.details["runs"]):
        changed["grid"] = grid
    record["notes"] = [HOSTILE]
    for result in made.results:
        result["data"]["title"] = result["data"]["fingerprint"] = result["preset"] = HOSTILE
        result["environment"] = {HOSTILE: HOSTILE, "device": HOSTILE}
    made.details["class_names"][:] = [HOSTILE] * 3
    made.details["missing"].append(HOSTILE)
    text = study_html(replace(made, command=HOSTILE, title=HOSTILE, settings={HOSTILE: HOSTILE}, notes=[HOSTILE]))
    page = Page(text)
    assert page.all("script") == [{}]
    assert all("onerror" not in attributes for _, attributes in page.elements)
    assert "<script" not in SCRIPT.sub("", text) and "\x1b" not in text
    shown = HOSTILE.replace("\x1b", "\\x1b")
    assert html.escape(shown, quote=False) in text.replace("&#39;", "'").replace("&#34;", '"')
    assert page.text.count(shown) > 15


def test_accuracy_by_class_is_the_mean_over_seeds() -> None:
    page = Page(study_html(report(2, 2)))
    table = next(rows for rows in page.tables if rows[0][1:] == ["cat", "dog", "owl"])
    assert table[1:] == [["baseline", "90.00", "50.00", "-"], ["no-mlp", "90.00", "50.00", "-"]]


def test_of_many_classes_those_are_shown_that_differ_most() -> None:
    records = [compare_record(0), compare_record(1)]
    runs = [run_details(record["variant"], 0) for record in records]
    for run, factor in zip(runs, (0.0, 1.0), strict=True):
        assert run["measured"]
        run["measured"]["per_class_accuracy"] = [0.5 + factor * i / 100 for i in range(30)]
    names = [str(i) for i in range(30)]
    details = {**report().details, "class_names": names, "runs": runs}
    table = heat.class_table(records, details)  # type: ignore[arg-type]
    assert table is not None
    assert (table.classes, table.hidden) == (names[10:], 10)
    assert (table.low, table.high) == ("50.00", "79.00")


def contrast(one: str, other: str) -> float:
    """After WCAG 2.1."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_shaded_number_can_be_read() -> None:
    for value in range(101):
        cell = heat.shaded(value / 100, 0.0, 1.0)
        assert contrast(cell.background, cell.ink) >= 4.5


def test_an_attention_picture_has_a_square_a_head_coloured_by_the_ratio_to_uniform() -> None:
    attention = run_details("baseline", 0)["measured"]["attention"]  # type: ignore[index]
    picture = heat._layer_picture(attention, 0)  # type: ignore[arg-type]  # pyright: ignore[reportPrivateUsage]
    with Image.open(io.BytesIO(base64.b64decode(picture.png))) as image:
        assert image.size == (picture.width, picture.height) == (86, 42)
        at = {(x, y): f"#{image.getpixel((x, y))[0]:02x}" for x in (5, 30, 50, 75) for y in (5, 30)}  # type: ignore[index]
        transparent = image.getpixel((42, 20))
    colours = [colour[:3] for colour in heat.attention_colours(7)]  # one an octave
    middle, least, four_fold = colours[3], colours[0], colours[5]
    assert [at[5, 5], at[30, 30], at[75, 30]] == [middle, middle, least]  # 0.2 of 5 tokens is uniform, 0 the end
    assert at[50, 5] == four_fold  # 0.8 is 4 times uniform: 2 of 3 octaves above the middle
    assert transparent == (0, 0, 0, 0)


def test_deep_and_shallow_rows_share_the_columns_of_the_layers_shown() -> None:
    assert heat.layers_shown(3) == [0, 1, 2]
    assert heat.layers_shown(24) == sorted(set(heat.layers_shown(24))) and len(heat.layers_shown(24)) == 12
    assert (heat.layers_shown(24)[0], heat.layers_shown(24)[-1]) == (0, 23)
    made = report(2, 1)
    made.details["runs"][1] = run_details("no-mlp", 0, layers=4)
    table = next(rows for rows in Page(study_html(made)).tables if rows[0][-1] == "layer 4")
    assert [len(row) for row in table] == [5, 5, 5]
    assert [row[0] for row in table[1:]] == ["baselinecat (right)", "no-mlpcat (right)"]


def test_what_is_missing_leaves_out_its_section_and_says_why() -> None:
    made = report()
    for run in made.details["runs"]:
        run["measured"] = run["curve"] = None
    made.details["example"], made.details["missing"][:] = None, ["Accuracy by class is missing: no data"]
    text = study_html(made)
    assert "Accuracy by class is missing: no data" in text
    assert not any(f'id="{section}"' in text for section in ("curves", "classes", "attention"))


def test_a_band_runs_from_the_lowest_to_the_highest_seed_around_the_mean() -> None:
    made = report(1, 3)
    (band,) = bands(made.records, made.details["runs"], "val_score")
    assert band.epochs == [1, 2]
    assert (band.low[0], band.mean[0], band.high[0]) == pytest.approx((50, 60, 70))
    assert (band.low[1], band.mean[1], band.high[1]) == pytest.approx((90, 90, 90))


@pytest.mark.parametrize(("num", "pictures", "panels"), [(1, 1, 2), (8, 1, 2), (9, 2, 9)])
def test_up_to_eight_curves_share_a_panel_and_more_have_one_each(num: int, pictures: int, panels: int) -> None:
    made = report(num)
    figures = learning_figures(made.records, made.details["runs"])
    assert len(figures) == pictures
    for figure in figures.values():
        assert len([axes for axes in figure.axes if axes.get_visible()]) == panels
        figure.canvas.draw()


def test_no_two_of_eight_curves_look_alike() -> None:
    made = report(8)
    (figure,) = learning_figures(made.records, made.details["runs"]).values()
    looks = [(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines]
    assert len(set(looks)) == 8


def test_where_runs_differ_in_their_environment_it_says_which() -> None:
    made = report(2, 2)
    made.results[1]["environment"] = {"device": "cpu", "threads": 2}
    rows = dict(tuple(row) for row in Page(study_html(made)).tables[-1])
    assert rows["device"] == "cpu"
    assert rows["threads"] == "2: baseline, seed 1 (1)1: the other runs (3)"
    assert rows["train.epochs"] == "60" and rows["fingerprint (SHA-256)"] == "0"


def test_equal_reports_give_equal_bytes_of_sensible_size() -> None:
    large = report(8, 3)
    large.details["runs"][:] = [run_details(run["variant"], run["seed"], layers=12) for run in large.details["runs"]]
    text = study_html(large)
    assert text == study_html(large)
    assert len(text.encode()) < 2_000_000


def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def find(name: str) -> ModuleSpec | None:
        return None if name == "matplotlib" else found(name)

    monkeypatch.setattr("importlib.util.find_spec", find)


def without_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr("matplotlib.text.Text.draw", fail)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (without_matplotlib, "pip install 'minform[plot]'"),
        (without_fonts, "of the report cannot be drawn: no font"),
    ],
)
def test_without_its_pictures_a_report_has_everything_else_and_says_why_once(
    broken: Callable[[pytest.MonkeyPatch], None], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, told = Page(study_html(report())), list[str]()
    broken(monkeypatch)
    page = Page(study_html(report(), told.append))
    assert page.open == [] and page.all("svg") == []
    shaded = [table for table in whole.tables if "layer 1" in table[0]]  # attention's colours are matplotlib's
    assert page.tables == [table for table in whole.tables if table not in shaded or broken is without_fonts]
    assert "Pictures are missing: " in page.text and reason in page.text
    assert len(told) == 1 and reason in told[0] and told[0].isprintable()


def rows_with_grid() -> list[CompareRecord]:
    records = [compare_record(i) for i in (0, 1)]
    for record in records:
        record["grid"] = {"model.depth": 6}
    return records


def test_swept_settings_are_columns_of_every_table() -> None:
    page = Page(study_html(report(records=rows_with_grid())))
    assert all("depth" in table[0] for table in page.tables[:3])


def test_what_reductions_lose_is_shown_with_how_many_seeds_are_right() -> None:
    page = Page(study_html(report(2)))
    assert (
        "Of 359 validation examples, 7 are right with most of the 2 seeds of the baseline and not here, 1 the other "
        "way round; " in page.text
    )
    assert "owl: 2/2, here 0/2" in page.text
    assert "image 3 of the validation split, class owl: 2/2, here 0/2" in [each.get("alt") for each in page.all("img")]
    heads = [table[0][0] for table in page.tables if table[0]]
    agreement = page.tables[heads.index("both right or both wrong, % of the validation examples")]
    assert agreement[1:] == [["baseline", "-", "80.00"], ["no-mlp", "80.00", "-"]]


def test_sentences_that_are_lost_are_shown_as_text_and_hostile_ones_do_nothing() -> None:
    made = report(2)
    made.details["shown"]["3"] = ShownExample(label="good", png=None, text="<script>alert(1)</script> a fine film")
    html = study_html(made)
    assert "<script>alert" not in html
    assert "<script>alert(1)</script> a fine film (good: 2/2, here 0/2)" in Page(html).text


def test_examples_that_could_not_be_had_leave_their_numbers() -> None:
    made = report(2)
    made.details["shown"].clear()
    assert "7 are right with most of the 2 seeds" in Page(study_html(made)).text
