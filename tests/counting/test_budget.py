"""A budget finds every combination that fits, and the tree of modules adds up."""

from __future__ import annotations

import pytest

from minform_cli import api
from minform_cli.config.presets import resolve
from minform_cli.counting.budget import combinations, fitting, parse_budget
from minform_cli.counting.count import count_config
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError


@pytest.mark.parametrize(
    ("text", "limit"),
    [("10%", 1000), ("0.5 %", 50), ("500k", 500_000), ("1.5M", 1_500_000), ("30000", 30_000), ("30,000", 30_000)],
)
def test_a_budget_is_a_share_or_a_number(text: str, limit: int) -> None:
    assert parse_budget(text, baseline=10_000) == limit


@pytest.mark.parametrize("text", ["", "x", "-5", "10 %%", "0", "0%", "1e5", "5kB"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--budget"):
        parse_budget(text, baseline=10_000)


def test_each_model_has_one_name_and_the_shortest() -> None:
    names = combinations()
    assert len(names) == len(set(names))
    assert {"baseline", "minimal", "no-mlp+symmetric"} <= set(names)
    assert "no-mlp+collapsed-qk+no-vo" not in names  # which is minimal
    models = [repr(sorted((k, v.value) for k, v in _settings(name).items())) for name in names]
    assert len(models) == len(set(models))


def test_the_tree_marks_what_runs_again_in_a_decoder_too() -> None:
    for order, again in (("shared", {0}), ("[0,1,0]", {0}), ("sequential", set())):
        sizes = ["model.depth=3", "model.decoder_depth=3", f"model.order={order}"]
        records = api.layers("transformer-base", settings=sizes)
        for path in ("blocks", "decoder_blocks"):
            blocks = [r for r in records if r["level"] == 2 and r["path"].startswith(f"{path}.")]
            assert {i for i, block in enumerate(blocks) if block["shared"]} == again
            assert not any(r["shared"] for r in records if r not in blocks and r["path"].count(".") != 1)


def _settings(name: str):
    from minform_cli.config.presets import read_variant

    return read_variant(name).settings


def test_what_fits_is_what_counts_no_more_and_the_rest_is_larger() -> None:
    spec = spec_for(resolve("debug").config)
    configs = fitting("debug", [], "30%", spec)
    sizes = {config.variant: count_config(config, spec)["parameters"] for config in configs}
    limit = int(0.3 * count_config(resolve("debug").config, spec)["parameters"])
    assert list(sizes.values()) == sorted(sizes.values())
    assert max(sizes.values()) <= limit
    for name in combinations():
        if name not in sizes:
            try:
                config = resolve("debug", name).config
                spec_for(config)  # some are for text alone
            except InputError:
                continue
            assert count_config(config, spec)["parameters"] > limit


def test_a_budget_too_small_names_the_smallest_model() -> None:
    with pytest.raises(InputError, match=r"no combination has 10 parameters or fewer; the smallest, .*, has [\d,]+"):
        api.count("debug", budget="10")
    with pytest.raises(InputError, match="finds the variants itself"):
        api.count("debug", ["minimal"], budget="10%")


def test_the_tree_of_modules_adds_up_level_by_level() -> None:
    for variant in ("baseline", "minimal", "shared-depth"):
        records = api.layers("digits", [variant])
        (count,) = api.count("digits", [variant])
        assert records[0]["parameters"] == count["parameters"]
        for i, record in enumerate(records):
            below = [later for later in records[i + 1 :] if later["path"].startswith(f"{record['path']}.")]
            children = [later for later in below if later["level"] == record["level"] + 1]
            assert sum(child["parameters"] for child in children) <= record["parameters"]
        blocks = [record for record in records if record["level"] == 2 and record["path"].startswith("blocks.")]
        assert [record["shared"] for record in blocks] == (
            [True] if variant == "shared-depth" else [False] * len(blocks)
        )
