"""The README's commands and links, as far as they can be checked without installing anything."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def test_there_are_two_commands_and_each_is_printed_once():
    assert len(BLOCKS) == 2
    for line in "".join(BLOCKS).splitlines():
        assert README.count(line) == 1, line


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="needs bash")
@pytest.mark.parametrize("script", [*BLOCKS, "tools/test.sh", ".ci/run"])
def test_the_commands_are_valid_bash(script):
    text = script if script in BLOCKS else (ROOT / script).read_text(encoding="utf-8")
    checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_first_command_installs_tested_versions_and_runs_the_demo():
    install = BLOCKS[0]
    assert "python3 -m venv .venv" in install
    assert install.count("-c constraints.txt") == install.count("pip install") == 2
    assert install.rstrip().endswith(".venv/bin/masktrack demo")
    assert "masktrack" in PROJECT["scripts"]


@pytest.mark.parametrize("text", [BLOCKS[0], (ROOT / "tools/test.sh").read_text(encoding="utf-8")])
def test_torch_is_installed_first_without_cuda(text):
    torch = re.search(r"pip install(.*-c constraints\.txt) torch\b", text)
    package = re.search(r"pip install(.*-c constraints\.txt) ['\"]\.\[(\w+)\]['\"]", text)
    assert torch.start() < package.start()
    assert "--index-url https://download.pytorch.org/whl/cpu" in torch[1]
    assert "--index-url" not in package[1]
    assert package[2] in PROJECT["optional-dependencies"]


def test_the_second_command_is_what_ci_runs():
    assert BLOCKS[1].strip() == "bash tools/test.sh"
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").rstrip().endswith("exec " + BLOCKS[1].strip())


def test_the_constraints_pin_every_dependency_once_and_no_cuda():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    names = [pin.split("==")[0].lower().replace("_", "-") for pin in pins]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    assert len(set(names)) == len(names)
    assert not any(name.startswith(("nvidia", "triton", "cuda")) for name in names)
    declared = {re.match(r"[\w-]+", requirement)[0].lower() for requirement in PROJECT["dependencies"]}
    assert declared <= set(names)


def test_on_windows_the_same_is_installed():
    (windows,) = re.findall(r"^```bat\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    lines = windows.splitlines()
    assert lines[0] == "py -m venv .venv"
    assert lines[-1] == r".venv\Scripts\masktrack demo"
    linux = [line.removesuffix(" &&") for line in BLOCKS[0].splitlines()]
    installed = [line.partition("pip install")[2] for line in linux if "pip install" in line]
    assert [line.partition("pip install")[2] for line in lines[1:-1]] == installed
    assert ". .venv/bin/activate`" in README
    assert r"`.venv\Scripts\activate`" in README


def test_the_training_that_is_shown_keeps_what_the_network_knows():
    (command,) = re.findall(r"`(masktrack train .*?)`", README)
    assert "--start default" in command


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_pictures_of_the_readme_have_absolute_addresses():
    for target in re.findall(r"!\[[^]]*\]\(([^)\s]+)", README):
        assert target.startswith("https://"), f"{target}: the hub shows only pictures with absolute addresses"
