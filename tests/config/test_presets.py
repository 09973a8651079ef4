"""Presets and variants: precedence, extends, ``+``, origins, paths, and what is said of a name that is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from minform_cli.config.presets import parse_settings, read_preset, read_variant, resolve
from minform_cli.config.schema import known_keys
from minform_cli.errors import InputError

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return to


def refusal(preset: str = "debug", variant: str = "baseline", *settings: str) -> str:
    with pytest.raises(InputError) as caught:
        resolve(preset, variant, settings)
    return str(caught.value)


def test_defaults_give_way_to_the_preset_then_to_variants_then_to_set(write: Write) -> None:
    preset = write("mine.yaml", "data: {name: digits}\nmodel:\n  dim: 12\n  heads: 3\n  mlp: none\n")
    one_head = write("one.yaml", "model:\n  heads: 1\n  mlp: gelu\n")
    found = resolve(str(preset), f"{one_head}+symmetric", ["model.mlp=none", "train.epochs=2", "train.epochs=3"])
    model, train = found.config.model, found.config.train
    assert (model.dim, model.heads, model.depth, model.similarity.kind) == (12, 1, 6, "tied")
    assert (model.mlp.kind, train.epochs) == ("none", 3)
    expected = {
        "data.name": f"{preset}:1",
        "model.dim": f"{preset}:3",
        "model.heads": f"{one_head}:2",
        "model.mlp": "--set",
        "model.similarity": "presets/variants/symmetric.yaml:6",
        "train.epochs": "--set",
    }
    assert found.origins == dict.fromkeys(known_keys(), "default") | expected


def test_the_names_stay_as_typed() -> None:
    config = resolve("debug", "no-mlp+symmetric", seed=7).config
    assert (config.preset, config.variant, config.seed) == ("debug", "no-mlp+symmetric", 7)


def test_the_baseline_of_a_variant_is_the_same_preset_and_settings_without_it() -> None:
    settings = ["model.dim=24", "model.heads=4"]
    assert resolve("debug", "no-mlp", settings).config.baseline == resolve("debug", "baseline", settings).config.model
    assert resolve("debug", "baseline", settings).config.baseline is None


def test_a_preset_extends_one_by_name_or_by_a_path_beside_it(write: Write) -> None:
    write("deep/base.yaml", "extends: digits\nmodel: {dim: 20}\ntrain: {epochs: 9}\n")
    top = write("deep/top.yaml", "extends: base.yaml\ntrain: {epochs: 8}\n")
    found = resolve(str(top))
    assert (found.config.model.dim, found.config.train.epochs, found.config.model.depth) == (20, 8, 6)
    assert found.origins["model.dim"] == f"{top.parent / 'base.yaml'}:2"
    assert found.origins["model.depth"].startswith("presets/digits.yaml:")


def test_a_variant_extends_several_names_and_paths_beside_it(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("deep/one.yaml", "model: {heads: 1}\n")
    top = write("deep/top.yaml", "extends: no-mlp+./one.yaml\nmodel: {norm: post}\n")
    monkeypatch.chdir("/")  # relative to the file, wherever the command runs
    model = resolve("debug", f"symmetric+{top}").config.model
    assert (model.mlp.kind, model.heads, model.norm.kind, model.similarity.kind) == ("none", 1, "post", "tied")


def test_a_file_may_set_other_than_what_it_extends(write: Write) -> None:
    one = write("one.yaml", "extends: collapsed-qk\nmodel: {heads: 2}\n")
    assert resolve("debug", str(one)).config.model.heads == 2


@pytest.mark.parametrize("kind", ["preset", "variant"])
def test_a_circle_of_extends_is_refused_and_shown(kind: str, write: Write) -> None:
    a = write("a.yaml", "# head\nextends: b.yaml\n")
    b = write("b.yaml", "extends: a.yaml\n")
    message = refusal(str(a)) if kind == "preset" else refusal("debug", str(a))
    assert message == f"{a}:2: extends: leads in a circle: {a} -> {b} -> {a}"


def test_a_file_that_extends_itself_many_times_over_is_refused_at_once(write: Write) -> None:
    a = write("a.yaml", f"extends: {'+'.join(['a.yaml'] * 1000)}\n")
    assert "leads in a circle" in refusal("debug", str(a))


def test_a_long_chain_of_extends_is_refused(write: Write) -> None:
    for i in range(12):
        write(f"{i}.yaml", f"extends: {i + 1}.yaml\n")
    first = write("0.yaml", "extends: 1.yaml\n")
    assert "more than 8 files extend one another" in refusal("debug", str(first))


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("extends: [digits]\n", ":1: extends: expected a name or a path"),
        ("extends:\n", ":1: extends: expected a name or a path"),
        ("modle: {dim: 3}\n", ":1: unknown key 'modle'; did you mean 'model'?; accepted: data, distill, expected_para"),
        (
            "model:\n  dm: 3\n",
            ":2: unknown key 'model.dm'; did you mean 'model.dim'?; accepted: model.dim, model.depth",
        ),
        ("model: 3\n", ":1: model: expected a mapping of keys to values"),
        ("model: []\n", ":1: model: expected a mapping of keys to values"),
        ("model: false\n", ":1: model: expected a mapping of keys to values"),
        ("extends: digits\nmodel:\n  heads: 3.5\n", ":3: model.heads: expected a whole number, not 3.5"),
        ("extends: digits\nmodel:\n  norm: pots\n", ":3: model.norm: unknown norm 'pots'; did you mean 'post'?; acc"),
        ("data:\n  name: 7\n", ":2: data.name: expected text, not 7"),
    ],
)
def test_what_is_wrong_in_a_preset_is_named_with_file_line_and_key(text: str, end: str, write: Write) -> None:
    path = write("mine.yaml", text)
    assert refusal(str(path)).startswith(f"{path}{end}")


def test_a_preset_without_a_data_set_is_refused_by_its_name(write: Write) -> None:
    path = write("mine.yaml", "model: {dim: 8}\n")
    assert refusal(str(path)) == f"preset {path}: data: is missing"
    path = write("mine.yaml", "data: {limit: 8}\n")
    assert refusal(str(path)) == f"preset {path}: data.name: is missing"


def test_a_variant_may_set_nothing_but_the_model(write: Write) -> None:
    path = write("mine.yaml", "train: {epochs: 3}\n")
    expected = f"{path}:1: unknown key 'train'; accepted: extends, model, source, summary"
    assert refusal("debug", str(path)) == expected


def test_variants_that_contradict_each_other_are_refused_naming_both() -> None:
    assert refusal("debug", "symmetric+collapsed-qk") == (
        "variant 'symmetric+collapsed-qk': 'collapsed-qk' sets model.similarity to 'collapsed', but "
        "presets/variants/symmetric.yaml:6 set it to 'tied'; variants joined by + must not contradict each other"
    )


def test_variants_that_agree_combine_in_any_order() -> None:
    one, other = (resolve("debug", name).config.model for name in ("minimal+no-mlp", "no-mlp+minimal"))
    assert one == other == resolve("debug", "minimal").config.model


def test_baseline_changes_nothing_in_a_combination() -> None:
    assert resolve("debug", "baseline+no-mlp").config.model == resolve("debug", "no-mlp").config.model


@pytest.mark.parametrize(
    ("preset", "variant", "start"),
    [
        ("mnits", "baseline", "--preset: unknown preset 'mnits'; did you mean 'mnist'?; accepted: bert-base"),
        ("", "baseline", "--preset: unknown preset ''; accepted: bert-base"),
        ("baseline", "baseline", "--preset: unknown preset 'baseline'; did you mean 'wmt-base'?; accepted: bert-base"),
        ("mnist+debug", "baseline", "--preset: unknown preset 'mnist+debug'"),
        (
            "debug",
            "simmetric",
            "--variant: unknown variant 'simmetric'; did you mean 'symmetric'?; accepted: anthe, ba",
        ),
        ("debug", "no-mlp+", "--variant: unknown variant ''; accepted: anthe, ba"),
        ("debug", "no-mlp+mimimal", "--variant: unknown variant 'mimimal'; did you mean 'minimal'?"),
        ("nowhere/x.yaml", "baseline", "nowhere/x.yaml: cannot be read: No such file or directory"),
        ("debug", "nowhere/x.yaml", "nowhere/x.yaml: cannot be read: No such file or directory"),
        ("a" * 5000 + "/x.yaml", "baseline", "a" * 5000 + "/x.yaml: cannot be read: File name too long"),
        ("debug", "a" * 5000 + "/x.yaml", "a" * 5000 + "/x.yaml: cannot be read: File name too long"),
        ("debug", "a" * 5000, "--variant: unknown variant 'aaa"),
        ("x\0.yaml", "baseline", "x\0.yaml: cannot be read: embedded null byte"),
    ],
)
def test_a_name_that_is_not_known_is_refused_with_the_nearest_known_one(preset: str, variant: str, start: str) -> None:
    assert refusal(preset, variant).startswith(start)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.dim", "--set 'model.dim': expected key=value, for example --set model.dim=64"),
        ("", "--set '': expected key=value, for example --set model.dim=64"),
        ("=3", "--set: unknown key ''; accepted: data.*, model.*, train.*"),
        ("dim=3", "--set: unknown key 'dim'; did you mean 'model.dim'?; accepted: data.*, model.*, train.*"),
        ("seed=3", "--set: unknown key 'seed'"),
        ("task=x", "--set: unknown key 'task'"),
        ("train.epoch=3", "--set: unknown key 'train.epoch'; did you mean 'train.epochs'?; accepted: train.epochs"),
        ("train.epochs=", "--set: train.epochs: expected a whole number, not None"),
        ("train.epochs=1e3", "--set: train.epochs: expected a whole number, not 1000.0"),
        ("train.epochs=0", "--set: train.epochs: should be greater than or equal to 1, not 0"),
        ("train.learning_rate=.nan", "--set: train.learning_rate: expected a finite number, not nan"),
        ("train.learning_rate=fast", "--set: train.learning_rate: expected a number, not 'fast'"),
        ("train.optimizer=adm", "--set: train.optimizer: 'adm' is not known; did you mean 'adam'?; accepted: adamw"),
        ("data.horizontal_flip=1", "--set: data.horizontal_flip: expected true or false, not 1"),
        ("data.horizontal_flip=yes", "--set: data.horizontal_flip: expected true or false, not 'yes'"),
        ("data.channels=true", "--set: data.channels: expected a whole number, not True; accepted: 1, 3"),
        ("data.path=7", "--set: data.path: expected text, not 7"),
        (
            "model.norm=per",
            "--set: model.norm: unknown norm 'per'; did you mean 'peri'?; accepted: post, pre, none, peri",
        ),
        ("model.norm={eps: 1}", "--set: model.norm: expected a name or a mapping with 'kind'; accepted: post, pre"),
        (
            "model.norm={kind: pre, esp: 1}",
            "--set: model.norm: unknown option 'esp' of norm 'pre'; did you mean 'eps'?; accepted: eps",
        ),
        ("model.norm={kind: none, eps: 1}", "--set: model.norm: unknown option 'eps' of norm 'none'; accepted: none"),
        ("model.norm={kind: pre, eps: true}", "--set: model.norm.eps: expected a number, not True"),
        ("model.norm={kind: pre, eps: .inf}", "--set: model.norm.eps: expected a finite number, not inf"),
        ("model.order=[]", "--set: model.order.list: expected at least one item, not []"),
        ("model.order=[0, 1.0]", "--set: model.order.list.1: expected a whole number, not 1.0"),
        ("model.dim=[" + "[" * 40, "--set model.dim: nested deeper than 32 levels"),
        ("model.dim=*x", "--set model.dim: alias '*x' is not accepted; write the value out"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_setting_is_said_in_one_line(setting: str, message: str) -> None:
    assert refusal("debug", "baseline", setting).startswith(message)


def test_a_value_may_hold_an_equals_sign() -> None:
    assert parse_settings(["data.path=a=b"])["data.path"].value == "a=b"


def test_sizes_that_do_not_fit_are_refused_with_where_both_came_from() -> None:
    assert refusal("debug", "baseline", "model.heads=3").startswith(
        "model.heads 3 does not divide model.dim 16; accepted: 1, 2, 4, 8, 16, or a model.head_width "
        "(model.heads from --set, model.dim from presets/debug.yaml:"
    )


def test_a_variant_whose_baseline_is_no_model_is_refused_as_no_share_could_be_said() -> None:
    message = refusal("debug", "minimal", "model.dim=17")  # the variant alone would do: it has one head
    assert message.startswith("baseline (the same without the variant): model.heads 2 does not divide model.dim 17")


@pytest.mark.parametrize("seed", [-1, 2**31, "x", 1.0, True])
def test_a_seed_out_of_range_is_refused(seed: object) -> None:
    with pytest.raises(InputError, match=r"^--seed: "):
        resolve("debug", seed=seed)  # type: ignore[arg-type]


def test_what_a_file_says_of_itself_is_its_own_and_not_that_of_what_it_extends() -> None:
    assert read_preset("debug").about["source"] == "ours"
    assert read_variant("minimal").about["source"] == "arXiv 2410.13732, minimum variant"


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("no-mpl", "top.yaml:2: extends: unknown variant 'no-mpl'; did you mean 'no-mlp'?"),
        ("no-mlp+./narow.yaml", "top.yaml:2: extends: there is no file '{}/narow.yaml'; did you mean 'narrow.yaml'?"),
        ("glue-\\st2", "top.yaml:2: extends: there is no file '{}/glue-\\\\st2'; accepted: a variant's name or file"),
    ],
)
def test_what_a_file_extends_and_is_not_there_is_refused_where_it_is_named(
    base: str, message: str, write: Write
) -> None:
    write("narrow.yaml", "model: {dim: 8}\n")
    top = write("top.yaml", f"summary: one that extends\nextends: '{base}'\n")
    assert message.replace("{}", str(top.parent)) in refusal("debug", str(top))


def test_a_file_that_is_not_there_is_refused_with_the_nearest(write: Write) -> None:
    near = write("narrow.yaml", "model: {dim: 8}\n")
    said = refusal("debug", str(near.with_name("narow.yaml")))
    assert said.endswith("narow.yaml: cannot be read: No such file or directory; did you mean 'narrow.yaml'?")
