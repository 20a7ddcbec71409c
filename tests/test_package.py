"""The package as a whole: cheap to import, floors kept, files and functions small."""

import ast
import subprocess
import sys
import tokenize
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest

import napari_masktrack

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCES = sorted((ROOT / "src" / "napari_masktrack").rglob("*.py"))
HEAVY = ("torch", "napari", "qtpy", "PyQt5", "PyQt6", "PySide6", "cv2")
WINDOW = {"magicgui", "napari", "qtpy", "superqt"}  # what the window stands on

each_source = pytest.mark.parametrize(
    "source", SOURCES, ids=lambda path: path.relative_to(ROOT / "src").as_posix()
)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )


def code_lines(function: ast.AST, comments: set[int]) -> int:
    """Lines of a function that are neither docstring nor comment nor empty."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    written = {line for node in body for part in ast.walk(node) if (line := getattr(part, "lineno", 0))}
    ends = {part.end_lineno for node in body for part in ast.walk(node) if hasattr(part, "end_lineno")}
    return 1 + len((written | ends) - comments)


@pytest.mark.parametrize("module", ["napari_masktrack", "napari_masktrack.config", "napari_masktrack.errors"])
def test_importing_the_package_loads_nothing_heavy(module):
    done = python("-c", f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_the_engine_is_imported_without_torch_qt_and_opencv():
    files = [path for path in SOURCES if {"core", "io"} & set(path.parts) or path.stem == "propagation"]
    names = [".".join(path.relative_to(ROOT / "src").with_suffix("").parts) for path in files]
    imports = "; ".join(f"import {name}" for name in names)
    done = python("-c", f"import sys; {imports}; print(*[name for name in {HEAVY} if name in sys.modules])")
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_the_version_is_that_of_the_project():
    assert napari_masktrack.__version__ == PROJECT["version"]


def test_the_types_are_declared_to_be_complete():
    assert (Path(napari_masktrack.__file__).parent / "py.typed").is_file()


def test_no_plain_dependency_brings_a_qt_binding_or_cuda_or_an_upper_bound():
    for requirement in PROJECT["dependencies"]:
        assert not requirement.lower().startswith(("pyqt", "pyside", "nvidia", "triton", "napari[")), (
            requirement
        )
        assert "<" not in requirement, requirement
        assert "==" not in requirement, requirement


def test_every_import_is_a_declared_dependency():
    owners = packages_distributions()
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["evaluate"]
    declared = {_name(requirement) for requirement in wanted}
    undeclared = {}
    for source in SOURCES:
        for name in _imported(source) - set(sys.stdlib_module_names) - {"napari_masktrack"}:
            given = {_name(owner) for owner in owners.get(name, [name])}
            if name == "cv2":  # either wheel provides it
                given.add("opencv-python-headless")
            if not given & declared:
                undeclared[name] = source.name
    assert undeclared == {}


def test_every_declared_dependency_is_imported():
    owners = packages_distributions()
    imported = set().union(*map(_imported, SOURCES))
    used = {_name(owner) for name in imported for owner in owners.get(name, [])} | WINDOW
    assert {_name(requirement) for requirement in PROJECT["dependencies"]} - used == set()


def test_the_declared_dependencies_are_the_installed_ones():
    installed = {_name(each) for each in distribution("napari-masktrack").requires if "extra ==" not in each}
    assert installed == {_name(requirement) for requirement in PROJECT["dependencies"]}


def test_the_floors_hold():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_architecture_page_names_every_module_and_dependency():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [path.name for path in SOURCES if f"── {path.name} " not in page and path.stem != "__init__"] == []
    assert [name for each in PROJECT["dependencies"] if f"| {(name := _name(each))} |" not in page] == []


@each_source
def test_a_file_has_at_most_400_lines(source):
    assert len(source.read_text(encoding="utf-8").splitlines()) <= 400


@each_source
def test_functions_are_short_and_take_few_positional_arguments(source):
    with tokenize.open(source) as file:
        comments = {
            token.start[0]
            for token in tokenize.generate_tokens(file.readline)
            if token.type == tokenize.COMMENT and token.line.lstrip().startswith("#")
        }
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            positional = [
                a.arg for a in node.args.posonlyargs + node.args.args if a.arg not in ("self", "cls")
            ]
            assert len(positional) <= 4, f"{node.name} takes {positional}"
            assert code_lines(node, comments) <= 40, f"{node.name} is too long"


def _name(requirement: str) -> str:
    text = requirement.split(";")[0].split("[")[0]
    for sign in "<>=!~ ":
        text = text.split(sign)[0]
    return text.strip().lower().replace("_", "-")


def _imported(source: Path) -> set[str]:
    """Top-level names of all modules a file imports, at its head or inside functions."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names
