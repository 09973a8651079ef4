"""The page of a study in a real browser: what can be clicked, hovered and reached by keys does what it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minform_cli.report.fit import Grid
from minform_cli.report.html import study_html
from minform_cli.report.page import page
from minform_cli.report.reduce_html import Section, Titled
from tests.report.browser import Browsed, browsed, chromium
from tests.report.pages import report
from tests.report.test_html import HOSTILE

NAMES = ["baseline", "no-mlp", "no-mlp+collapsed-qk", "no-mlp+symmetric"]
POINT = "[id^=over-parameters-point][data-row='{}']"
CURVE = "#curves .item.curve[data-row='{}']"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four variants, the last of which is right every time."""
    made = report(4, 2)
    made.records[3]["val_score_mean"] = 1.0
    return written(study_html(made), tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More variants than share a panel."""
    return written(study_html(report(9, 2)), tmp_path_factory.mktemp("many"))


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Browsed]:
    """The page of four variants, which must have said and asked for nothing in the end."""
    with browsed(browser, file) as found:
        yield found
        assert found.heard == []


def written(text: str, folder: Path) -> Path:
    (folder / "report.html").write_text(text, encoding="utf-8")
    return folder / "report.html"


@pytest.mark.parametrize("width", [1200, 500])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["file", "many"])
def test_a_page_fits_its_window_is_printed_and_asks_for_nothing(
    browser: Any, which: str, scheme: str, width: int, request: pytest.FixtureRequest
) -> None:
    with browsed(browser, request.getfixturevalue(which), width, color_scheme=scheme) as opened:
        paper = opened.tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 27)"}[scheme]
        for step in (".boxes input", "#accuracy thead button", "#accuracy tbody button", "#tradeoffs .item"):
            opened.all(f"{step} >> visible=true").last.click()
            assert opened.tab.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.tab.pdf().startswith(b"%PDF")
        assert opened.heard == []


def by_click(opened: Browsed, head: str) -> None:
    opened.all("#accuracy thead button").get_by_text(head, exact=True).click()


def by_key(opened: Browsed, head: str) -> None:
    opened.all("#accuracy thead button").get_by_text(head, exact=True).focus()
    opened.press("Enter")


@pytest.mark.parametrize("press", [by_click, by_key])
def test_a_head_sorts_rising_then_falling_then_as_before(opened: Browsed, press: Callable[..., None]) -> None:
    head = opened.see("#accuracy th:has-text('parameters')")
    for order, expected in (("ascending", [2, 3, 1, 0]), ("descending", [0, 1, 2, 3]), (None, [0, 1, 2, 3])):
        press(opened, "parameters")
        assert opened.column("accuracy", 1) == [NAMES[i] for i in expected]  # 79,754 twice: in their order
        head.to_have_attribute("aria-sort", order) if order else head.not_to_have_attribute("aria-sort", "descending")


def test_numbers_sort_as_numbers_whatever_follows_them_and_what_is_absent_comes_last(opened: Browsed) -> None:
    by_click(opened, "val accuracy %")
    assert [cell.split()[0] for cell in opened.column("accuracy", 6)] == ["96.50", "97.00", "97.50", "100.00"]
    by_click(opened, "difference in points")
    assert opened.column("accuracy", 1) == [NAMES[i] for i in (3, 2, 1, 0)]
    by_click(opened, "difference in points")
    assert opened.column("accuracy", 1) == [NAMES[i] for i in (1, 2, 3, 0)]
    assert opened.all("#accuracy [aria-sort]").count() == 1
    by_click(opened, "variant")
    assert opened.column("accuracy", 1) == sorted(NAMES)


def highlighted(opened: Browsed) -> set[str]:
    return set(opened.tab.eval_on_selector_all(".on", "found => found.map(each => each.dataset.row)"))


@pytest.mark.parametrize(
    "where",
    [
        "#accuracy tbody button >> text=minimal",
        "#statistics tbody button >> text=minimal",
        "#attention tbody button >> text=minimal",
        POINT.format("minimal"),
        "#parameters svg .item[data-row=minimal] >> nth=0",
        "[id^=curves1-title][data-row=minimal] text",
    ],
)
def test_a_variant_is_highlighted_everywhere_from_everywhere(browser: Any, many: Path, where: str) -> None:
    with browsed(browser, many) as opened:
        opened.all(where).first.hover()
        assert highlighted(opened) == {"minimal"}
        opened.all(where).first.click()
        opened.all("h1").hover()
        assert highlighted(opened) == {"minimal"}  # a click keeps it
        opened.see("#losses div[data-row=minimal]").to_have_class("lost on")
        for section in ("accuracy", "statistics", "parameters", "classes", "agreement", "attention"):
            opened.see(f"#{section} tr[data-row=minimal]").to_have_class("on")
        for section in ("tradeoffs", "parameters", "curves"):
            assert opened.all(f"#{section} svg .on[data-row=minimal]").count() > 1
        assert opened.tab.evaluate("getComputedStyle(document.querySelector('svg [data-row=no-mlp]')).opacity < 0.5")
        pressed = opened.all("#accuracy tbody button[aria-pressed=true]")
        assert pressed.all_inner_texts() == ["minimal"]
        opened.all(where).first.click()
        opened.all("h1").hover()
        assert highlighted(opened) == set()
        assert opened.heard == []


def test_the_legend_of_curves_highlights(opened: Browsed) -> None:
    opened.all("[id^=over-parameters-legend][data-row=baseline]").hover()
    assert highlighted(opened) == {"baseline"}
    opened.all("#curves .item:not(.curve)[data-row=no-mlp]").hover()
    assert highlighted(opened) == {"no-mlp"}
    assert "its curves" in opened.all(".tip").inner_text()


def test_a_hidden_variant_goes_everywhere_even_in_print_and_comes_back(opened: Browsed) -> None:
    box = opened.all(".boxes input[value=baseline]")
    box.uncheck()
    for _ in range(2):
        assert opened.column("accuracy", 1) == opened.column("parameters", 1) == NAMES[1:]
        assert opened.all("#losses .lost:visible").count() == 3
        assert opened.all("#agreement thead th:visible").all_inner_texts()[1:] == NAMES[1:]
        assert opened.all("#agreement td:visible").count() == 9
        assert opened.column("classes", 1) == NAMES[1:] and len(opened.column("attention", 1)) == 3
        assert opened.all("svg [data-row=baseline]:visible").count() == 0
        for name in NAMES[1:]:  # what the pictures share is still drawn
            drawn = opened.all(POINT.format(name)).bounding_box()
            assert drawn["width"] > 2 and drawn["height"] > 2
        assert opened.all(CURVE.format("no-mlp") + ":visible").count() == 2
        assert "Hidden: baseline." in opened.all(".unshown").inner_text()
        opened.tab.emulate_media(media="print")
        assert not opened.all(".chooser").is_visible()
    opened.tab.emulate_media(media="screen")
    opened.all("[data-show=none]").click()
    assert opened.column("accuracy", 1) == []
    opened.all("[data-show=all]").click()
    assert opened.column("accuracy", 1) == NAMES
    assert opened.all("svg [data-row=baseline]:visible").count() > 8
    assert opened.all(".unshown").inner_text() == ""


def test_a_panel_goes_with_its_variant(browser: Any, many: Path) -> None:
    with browsed(browser, many) as opened:
        before = opened.all("#curves [data-panel]:visible").count()
        opened.all(".boxes input[value=minimal]").uncheck()
        assert opened.all("#curves [data-panel]:visible").count() == before - 2


def tip(opened: Browsed) -> list[str]:
    found = opened.all(".tip")
    return found.inner_text().split("\n") if found.is_visible() else []


def test_points_and_cells_say_their_numbers_until_escape(opened: Browsed) -> None:
    said = ["no-mlp", "104,330 parameters (34.49 %)", "validation accuracy in %: 97.00 ± 0.42 (2)"]
    opened.all(POINT.format("no-mlp")).hover()
    assert tip(opened)[:3] == said
    opened.press("Escape")
    assert tip(opened) == []
    opened.all("#classes td").nth(1).hover()
    assert tip(opened) == ["baseline", "dog: 50.00 %"]
    opened.all("h1").hover()
    assert tip(opened) == []
    opened.all("#parameters .item[data-row=no-mlp]").first.hover()
    assert tip(opened) == ["no-mlp", "embedding: 13,040 parameters (12.50 % of its own)"]
    assert opened.all("svg title, td[title]").count() == 0  # the browser's own tips would lie over ours


def test_a_curve_says_the_epoch_that_is_nearest(opened: Browsed) -> None:
    curve = opened.all(CURVE.format("no-mlp+symmetric")).first
    curve.scroll_into_view_if_needed()
    area = curve.bounding_box()
    opened.tab.mouse.move(area["x"] + 4, area["y"] + 4)
    assert tip(opened) == ["baseline", "training loss", "epoch 1: 2.5000 (2.0000 to 3.0000)"]  # all four are alike
    assert opened.all(".dot").count() == 1
    opened.tab.mouse.move(area["x"] + area["width"] - 4, area["y"] + area["height"] - 4)
    assert tip(opened)[2] == "epoch 2: 1.0000"
    opened.tab.mouse.move(area["x"] + 20, area["y"] + area["height"] - 20)
    assert tip(opened) == [] and highlighted(opened) == set()
    opened.all(".boxes input[value=baseline]").uncheck()
    curve.scroll_into_view_if_needed()
    area = curve.bounding_box()
    opened.tab.mouse.move(area["x"] + 4, area["y"] + 4)
    assert tip(opened)[0] == "no-mlp"


def test_all_of_it_is_reached_by_keys(opened: Browsed) -> None:
    opened.all("[data-show=none]").focus()
    for name in ("variant", "s/epoch", "baseline"):  # the heads of the table, then its names
        opened.press_until_at("Tab", name)
    assert highlighted(opened) == {"baseline"}
    opened.press("ArrowDown", "Enter")
    assert highlighted(opened) == {"no-mlp"}
    opened.press("Tab")
    assert "heads" not in opened.focused and highlighted(opened) == {"no-mlp"}  # on to the next table
    opened.all("#tradeoffs .item[tabindex='0']").first.focus()
    opened.press("ArrowRight")
    assert opened.focused.startswith("no-mlp, 104,330 parameters") and tip(opened)[0] == "no-mlp"
    opened.press("Escape")
    assert tip(opened) == [] and highlighted(opened) == {"no-mlp"}
    opened.press("ArrowLeft", " ")
    assert highlighted(opened) == {"no-mlp", "baseline"}
    opened.press("Escape", "Escape", "Tab")
    assert highlighted(opened) == {"baseline"}  # that of the next picture


def test_keys_go_along_a_curve_then_to_the_next_panel_and_the_next_variant(opened: Browsed) -> None:
    opened.all("#curves .item[tabindex='0']").focus()
    opened.press("ArrowLeft")
    assert tip(opened) == ["baseline", "training loss", "epoch 1: 2.5000 (2.0000 to 3.0000)"]
    opened.see(".unseen").to_have_text("epoch 1: 2.5000 (2.0000 to 3.0000)")
    opened.press("ArrowRight", "ArrowRight")
    assert opened.focused == "baseline, validation accuracy in %, epoch 1: 55.00 (50.00 to 60.00)"
    opened.press("ArrowDown")
    assert tip(opened)[:2] == ["no-mlp", "validation accuracy in %"]
    opened.all(".boxes input[value=baseline]").focus()
    opened.press(" ")
    opened.all("#curves .item[tabindex='0']").focus()
    opened.press("ArrowUp")
    assert tip(opened)[0] == "no-mlp"  # what is hidden is not gone to


def test_keys_go_through_the_shaded_cells(opened: Browsed) -> None:
    opened.all("#classes .item[tabindex='0']").focus()
    opened.press("ArrowRight", "ArrowRight", "ArrowDown")
    assert tip(opened) == ["no-mlp", "dog: 50.00 %"]
    opened.press("Home")
    assert opened.focused == "no-mlp"


def test_without_script_the_page_is_complete(browser: Any, file: Path) -> None:
    with browsed(browser, file, java_script_enabled=False) as opened:
        assert opened.all("button:visible, input:visible").count() == 0
        assert opened.all("table:visible").count() == opened.all("table").count() > 5
        assert opened.all("svg title").count() > 30
        assert opened.all("#classes td[title]").count() == opened.all("#agreement td[title]").count() == 12
        assert opened.heard == []


def test_motion_is_for_those_who_do_not_mind_it(browser: Any, file: Path) -> None:
    moves = "getComputedStyle(document.querySelector('svg [data-row]')).transitionDuration"
    for wish, expected in (("no-preference", "0.15s"), ("reduce", "0s")):
        with browsed(browser, file, reduced_motion=wish) as opened:
            assert opened.tab.evaluate(moves) == expected


def test_no_other_script_runs(browser: Any, file: Path) -> None:
    with browsed(browser, file) as opened:
        opened.tab.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
        )
        assert opened.tab.evaluate("window.ran") is None
        assert "Content Security Policy" in " ".join(opened.heard)


def test_hostile_names_are_highlighted_and_hidden_like_others(browser: Any, tmp_path: Path) -> None:
    made = report(2, 1)
    name = HOSTILE.replace("\x1b", "")
    for changed in (made.records[1], made.results[1], made.details["runs"][1]):
        changed["variant"] = name
    with browsed(browser, written(study_html(made), tmp_path)) as opened:
        opened.all("#accuracy tbody button").nth(1).click()
        assert highlighted(opened) == {name}
        assert opened.all("#curves .on").count() > 2
        opened.all(".boxes input").nth(1).uncheck()
        assert opened.column("accuracy", 1) == ["baseline"]
        assert opened.heard == []


def test_tables_of_the_other_pages_sort_too(browser: Any, tmp_path: Path) -> None:
    cells = [["1", "2.10 M"], ["2", "nan"], ["3", "35.1 k"], ["4", "inf"], ["10", "1.00 G"], ["11", "-"]]
    grid = Grid(["layer", "FLOPs"], cells, [False, True])
    values = dict.fromkeys(("title", "question", "command"), "x") | {name: [] for name in ("answer", "notes", "facts")}
    section = Section("reduction0", "x", [Titled("", grid)], [], [])
    text = page("reduction.html.j2", **values, curve=None, reductions=[section])
    with browsed(browser, written(text, tmp_path)) as opened:
        for expected in (["3", "1", "10", "4", "2", "11"], ["4", "10", "1", "3", "2", "11"]):
            opened.all("thead button").last.click()
            assert opened.column("reduction0", 1) == expected
        assert opened.heard == []
