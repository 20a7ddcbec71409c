"""The command as such: help without cost, one line per error, exit codes."""

import subprocess
import sys

import pytest

import napari_masktrack
from napari_masktrack import cli
from napari_masktrack.cli import COMMANDS, Command, main
from napari_masktrack.errors import MovieError, WorkError


def python(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, encoding="utf-8")


def failing(error):
    def run(options, terminal):
        raise error

    return Command("Fails.", lambda parser: None, run)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_loads_nothing_heavy(command):
    heavy = ("torch", "numpy", "rich", "napari")
    code = (
        f"import sys; from napari_masktrack.cli import main; code = main(sys.argv[1:]); "
        f"print(code, [name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    done = python("-c", code, *command.split(), "--help")
    assert done.stderr.strip() == "0 []"
    assert "usage: masktrack" in done.stdout


def test_the_help_names_the_column_of_agreement(run):
    text = " ".join(run("propagate --help").out.split())
    assert text.count("column agreement of the table of confidence") == 1
    assert text.count("the column agreement says how well they fit each other") == 1


def test_the_module_is_the_command():
    done = python("-m", "napari_masktrack", "--version")
    assert (done.returncode, done.stdout) == (0, f"masktrack {napari_masktrack.__version__}\n")


def test_the_exit_code_reaches_the_shell():
    assert python("-m", "napari_masktrack", "propagate").returncode == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "required: COMMAND"),
        ("fly", "invalid choice: 'fly'"),
        ("propagate", "required: MOVIE, --output"),
        ("propagate movie.tif --output out --fast", "--fast"),
        ("propagate movie.tif --output out --direction up", "choose from"),
        ("propagate movie.tif --output out --direct both", "--direct"),
        ("propagate movie.tif --output out --device tpu", "choose one of auto, cpu, cuda, mps"),
        ("propagate movie.tif --output out --frames 3", "give A:B"),
        ("propagate movie.tif --output out --channels red", "up to three"),
        ("propagate movie.tif --output out --crop-size 5", "from 64 to 1024"),
        ("propagate movie.tif --output out --threshold nan", "from 0.05 to 0.95"),
        ("propagate movie.tif --output out --seed 1.5", "a whole number"),
        ("train --images a --masks b", "required: --output"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(run, line, said):
    done = run(line)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert said in done.err
    assert "--help'" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_argument_names_the_help_of_its_command(run, monkeypatch, command):
    monkeypatch.setitem(cli.COMMANDS, command, failing(WorkError("It was run.")))
    done = run(f"{command} --fast")
    assert done.code == 2
    assert done.err == f"masktrack: Unrecognized arguments: --fast; see 'masktrack {command} --help'.\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MovieError("No movie there; check the path."), 2, "No movie there; check the path."),
        (WorkError("The disk\nis full."), 1, "The disk is full."),
        (OSError(28, "No space left on device", "out/1.png"), 1, "No space left on device: out/1.png"),
        (MemoryError(), 1, "not enough memory"),
        (ZeroDivisionError("a\nb"), 1, "(ZeroDivisionError: a b); run it again with --debug"),
        (KeyboardInterrupt(), 130, "Stopped by Ctrl-C."),
    ],
)
def test_each_kind_of_error_has_its_exit_code_and_one_line(run, monkeypatch, error, code, said):
    monkeypatch.setitem(cli.COMMANDS, "demo", failing(error))
    done = run("demo")
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert done.err.startswith("masktrack: ")
    assert said in done.err


@pytest.mark.parametrize("line", ["demo --debug", "--debug demo"])
def test_debug_shows_where_an_error_arose(run, monkeypatch, line):
    monkeypatch.setitem(cli.COMMANDS, "demo", failing(ZeroDivisionError("oh")))
    done = run(line)
    assert done.code == 1
    assert "Traceback" in done.err
    assert "test_main.py" in done.err
    assert done.err.splitlines()[-1].startswith("masktrack: Something unforeseen happened")


def test_without_arguments_the_process_is_asked(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["masktrack", "--version"])
    assert main() == 0
    assert "masktrack" in capsys.readouterr().out
