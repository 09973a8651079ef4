"""The source itself: short files, docstrings, and nothing that runs what a file or a name contains."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minform_cli"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

FORBIDDEN_IMPORTS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "imp"}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
FORBIDDEN_CALLS = {
    "torch.load", "torch.save", "torch.jit.load", "yaml.load", "yaml.load_all",
    "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load", "os.system", "os.popen", "pty.spawn",
}  # fmt: skip
FORBIDDEN_METHODS = {"extractall"}
FORBIDDEN_ATTRIBUTES = {"yaml.UnsafeLoader", "yaml.FullLoader", "yaml.Loader", "yaml.UnsafeDumper"}
NETWORK = {
    "socket", "ssl", "http", "urllib", "ftplib", "smtplib", "telnetlib", "xmlrpc", "socketserver", "requests",
    "urllib3", "httpx", "aiohttp", "asyncio", "huggingface_hub", "wandb",
}  # fmt: skip


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(text_of(path), str(path))


def offences(paths: Iterable[Path], found_in: Callable[[Path], object]) -> dict[str, object]:
    """What `found_in` finds in each file, where it finds anything."""
    found = {str(path.relative_to(ROOT)): found_in(path) for path in paths}
    return {name: what for name, what in found.items() if what}


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def dangers(tree: ast.AST) -> list[str]:
    """Every use of something that could run what data contains, as ``line: what``."""
    found = [f"{line}: import {name}" for line, name in imported(tree) if name.split(".")[0] in FORBIDDEN_IMPORTS]
    found += [
        f"{line}: import {name}" for line, name in imported(tree) if name in FORBIDDEN_CALLS | FORBIDDEN_ATTRIBUTES
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in FORBIDDEN_ATTRIBUTES:
            found.append(f"{node.lineno}: {ast.unparse(node)}")
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name == "torch.load" and weights_only(node):
            continue
        if name in FORBIDDEN_NAMES | FORBIDDEN_CALLS or name.rpartition(".")[2] in FORBIDDEN_METHODS:
            found.append(f"{node.lineno}: {name}()")
        if name in ("np.load", "numpy.load") and "allow_pickle" not in {keyword.arg for keyword in node.keywords}:
            found.append(f"{node.lineno}: {name}() without allow_pickle=False")
        for keyword in node.keywords:
            is_false = isinstance(keyword.value, ast.Constant) and not keyword.value.value
            if keyword.arg in ("shell", "allow_pickle") and not is_false:
                found.append(f"{node.lineno}: {keyword.arg}={ast.unparse(keyword.value)}")
    return found


def weights_only(call: ast.Call) -> bool:
    """Whether it is told, in so many words, to build nothing but tensors and plain containers."""
    return any(
        keyword.arg == "weights_only" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        for keyword in call.keywords
    )


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {path: len(text_of(path).splitlines()) for path in (*MODULES, *TESTS)}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_no_function_below_the_commands_takes_more_than_8_parameters() -> None:
    """A command has one for each of its options; what is handed on is a value."""

    def hungry(path: Path) -> list[str]:
        functions = [
            each for each in ast.walk(parsed(path)) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        return [f"{each.name}: {len(names)}" for each in functions if len(names := parameters(each.args)) > 8]

    below = [path for path in MODULES if not path.is_relative_to(PACKAGE / "cli")]
    assert offences(below, hungry) == {}


def parameters(arguments: ast.arguments) -> list[str]:
    """Names of what a caller gives; `self` is not."""
    named = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    rest = [each.arg for each in (arguments.vararg, arguments.kwarg) if each is not None]
    return [name for name in (*named, *rest) if name not in ("self", "cls")]


def test_nothing_runs_what_a_file_or_a_name_contains() -> None:
    assert offences(MODULES, lambda path: dangers(parsed(path))) == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import torch\ntorch.load('x')", "from torch import load",
        "import torch\ntorch.load('x', weights_only=False)", "import torch\ntorch.load('x', weights_only=safe)",
        "import yaml\nyaml.load('x', yaml.Loader)", "x = eval('1')", "exec('x')", "compile('x', 'y', 'exec')",
        "import subprocess\nsubprocess.run('x', shell=True)", "import subprocess\nsubprocess.run('x', shell=yes)",
        "archive.extractall('.')", "np.load('x')", "import os\nos.system('x')", "np.load('x', allow_pickle=True)",
        "def late():\n    import marshal",
    ],
)  # fmt: skip
def test_the_search_for_dangers_finds_them(source: str) -> None:
    assert dangers(ast.parse(source))


def test_the_search_for_dangers_leaves_the_harmless_alone() -> None:
    harmless = (
        "model.eval()\nre.compile('x')\nrun(['x'], shell=False)\nread_yaml(path)\nnp.load('x', allow_pickle=False)"
    )
    assert dangers(ast.parse(harmless)) == []


def test_the_network_is_reached_from_the_data_alone() -> None:
    outside = [path for path in MODULES if not path.is_relative_to(PACKAGE / "data")]
    used = lambda path: [name for _, name in imported(parsed(path)) if name.split(".")[0] in NETWORK]  # noqa: E731
    assert offences(outside, used) == {}


def test_only_commands_and_reports_print() -> None:
    def printing(path: Path) -> list[int]:
        calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
        return [node.lineno for node in calls if ast.unparse(node.func) in ("print", "sys.stdout.write", "rich.print")]

    assert offences([path for path in MODULES if not path.is_relative_to(PACKAGE / "cli")], printing) == {}


def test_everything_public_has_a_docstring() -> None:
    def bare(path: Path) -> list[str]:
        tree = parsed(path)
        definitions = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        public = [node for node in definitions if not node.name.startswith("_")]
        return ["the module"] * (not ast.get_docstring(tree)) + [n.name for n in public if not ast.get_docstring(n)]

    assert offences(MODULES, bare) == {}


def test_a_test_file_says_what_it_tests() -> None:
    assert offences(TESTS, lambda path: text_of(path) and not ast.get_docstring(parsed(path))) == {}


SHIPPED = [
    *MODULES,
    *sorted((ROOT / "presets").rglob("*.yaml")),
    *ROOT.glob("*.md"),
    *ROOT.glob("*.toml"),
    ROOT / "Makefile",
]


def test_no_path_of_some_machine_is_written_down() -> None:
    machine = re.compile(r"(?<![\w.])(?:/work|/home|/root|/Users|/mnt|/opt)/\w+|[A-Z]:\\\w+")
    assert offences(SHIPPED, lambda path: machine.findall(text_of(path))) == {}


def test_nothing_is_left_to_be_done() -> None:
    left = re.compile(r"\b(?:TODO|FIXME|XXX|NotImplemented)\b(?!Error)")
    files = [path for path in (*MODULES, *TESTS) if path != Path(__file__)]
    assert offences(files, lambda path: left.findall(text_of(path))) == {}


CLOCKS = (ROOT / "tests" / "waiting.py", ROOT / "tests" / "soak" / "__main__.py")
"""What may look at the clock: waiting, and the program of the soak, which is no test and says how long it took."""


def test_no_test_hangs_on_time() -> None:
    """Whoever waits does so in `tests/waiting.py`, and no limit is so short that a slow machine meets it."""
    clocks = re.compile(r"\btime\.(?:time|monotonic|perf_counter|process_time)\(|\b(?:timeout|timeout_s)=[1-9.]\S*")
    files = [path for path in TESTS if path not in (Path(__file__), *CLOCKS)]
    assert offences(files, lambda path: clocks.findall(text_of(path))) == {}


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "helpers", "misc", "common", "new"}
    assert [path for path in MODULES if path.stem in drawers] == []


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
