"""The scores of an evaluation as files: JSON with everything, CSV, Markdown and a plot."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from napari_masktrack.errors import InputError, OutputError, WorkError
from napari_masktrack.evaluation.markdown import decimals, percent, table
from napari_masktrack.evaluation.origins import short
from napari_masktrack.evaluation.plot import can_plot, draw_all
from napari_masktrack.evaluation.protocols import PROTOCOLS, pooled, say_left_out
from napari_masktrack.evaluation.scores import object_columns
from napari_masktrack.evaluation.summary import SPEED, Columns, Summary
from napari_masktrack.io.exporters import save_metrics_csv
from napari_masktrack.io.refusal import reason, shown
from napari_masktrack.io.session_files import read_json, write_json
from napari_masktrack.io.targets import check_folder, replacing

STEM = "scores"
_ENDINGS = (".json", ".csv", ".md", ".png", "-attributes.png")


def check_place(folder: Path) -> None:
    """Refuse a folder that cannot be written into, or in which files of others have the names of ours.

    Parameters
    ----------
    folder : Path
        Need not exist. Scores of an earlier run are replaced later on.

    Raises
    ------
    OutputError
        It is a file itself, nothing can be written there, or one of the files is there, but was not
        written by an evaluation.
    """
    check_folder(folder)
    files = [path for ending in _ENDINGS if (path := folder / f"{STEM}{ending}").exists()]
    scores = folder / f"{STEM}.json"
    ours = scores.is_file() and "napari_masktrack" in read_json(scores)
    if files and not ours:
        raise OutputError(f"{shown(files[0])} is not from this command; move it, or give another --report.")


def write_report(summary: Summary, folder: Path) -> list[Path]:
    """Write all files.

    Parameters
    ----------
    summary : Summary
    folder : Path
        Is made if need be.

    Returns
    -------
    list of Path
        What was written; without the plot where matplotlib is not installed.

    Raises
    ------
    WorkError
        A file cannot be written; it could when the work began.
    """
    json, csv, markdown, *plots = (folder / f"{STEM}{ending}" for ending in _ENDINGS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(json, summary.as_dict())
        save_metrics_csv(csv, csv_rows(summary))
        write_text(markdown, report_lines(summary))
        if not can_plot():
            return [json, csv, markdown]
        for path in plots:
            path.unlink(missing_ok=True)  # of an earlier run, perhaps with other attributes
        drawn = draw_all(summary, *plots)
    except (OSError, InputError, WorkError) as error:
        why = reason(error.__cause__ if isinstance(error.__cause__, OSError) else error)
        place = shown(summary.evaluation.results)
        raise WorkError(
            f"The scores cannot be written to {shown(folder)} ({why}); the masks are kept in {place}: "
            "give the same command with another --report to judge them again."
        ) from error
    return [json, csv, markdown, *drawn]


def write_text(path: Path, lines: Iterable[str]) -> None:
    """Write lines as a file that appears whole or not at all."""
    with replacing(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def csv_rows(summary: Summary) -> Iterator[dict[str, object]]:
    """Yield a row per sequence, followed by its objects where there are several; then means."""
    for each in summary.judged:
        score = each.score
        head = {"sequence": score.name, "group": score.group}
        yield {**head, "object": "", **summary.sequences[score.name]}
        if len(score.objects) > 1:
            for one in score.objects:
                yield {**head, "object": one.label, **object_columns(one)}
    attributes = {f"mean of {each.title} ({each.attribute})": each.mean for each in summary.attributes}
    for title, columns in {**attributes, **means(summary)}.items():
        yield {"sequence": title, "group": "", "object": "", **columns}


def means(summary: Summary) -> dict[str, Columns]:
    """Return the means by what they are over: classes first, the whole last."""
    found = {f"mean of {group}": columns for group, columns in summary.groups.items()}
    if found:
        found[f"mean of {len(summary.groups)} classes"] = summary.class_mean
    pool = pooled(summary.evaluation.protocol, summary.evaluation.config)
    count = sum(len(each.score.objects) if pool else 1 for each in summary.judged)
    unit = summary.unit if count > 1 else summary.unit.removesuffix("s")
    return {**found, f"mean of {count} {unit}": summary.mean}


def sequence_rows(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of the main table: one row per sequence, then the means."""
    columns = list(summary.mean)
    rows = [[name, *_cells(numbers, columns)] for name, numbers in summary.sequences.items()]
    rows += [[title, *_cells(numbers, columns)] for title, numbers in means(summary).items()]
    return ["sequence", *columns], rows


def attribute_rows(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of the table of attributes; means of the other sequences in brackets."""
    columns = [name for name in summary.mean if name.endswith(" mean")]
    rows = [
        [f"{each.title} ({each.attribute})", str(len(each.sequences))]
        + [f"{percent(each.mean[name])} ({percent(each.others.get(name))})" for name in columns]
        for each in summary.attributes
    ]
    return ["attribute", "sequences", *columns], rows


def report_lines(summary: Summary) -> list[str]:
    """Return the report in Markdown."""
    title = PROTOCOLS[summary.evaluation.protocol].title
    lines = [f"# Scores on {title}", "", "In per cent; seconds per frame with fine-tuning included.", ""]
    lines += table(*sequence_rows(summary))
    if summary.attributes:
        lines += ["", "## By attribute", "", "In brackets: the sequences without it.", ""]
        lines += table(*attribute_rows(summary))
    if left_out := summary.evaluation.left_out:
        lines += ["", say_left_out(left_out)]
    return [*lines, "", *_made_by(summary)]


def _made_by(summary: Summary) -> list[str]:
    """Say how the results were made, where all were made here and alike."""
    records = [each.record for each in summary.judged]
    methods = {str(record["method"]) for record in records if record is not None}
    if None in records or len(methods) != 1:
        return [f"Results of {shown(summary.evaluation.results.resolve().name)}."]
    first = next(record for record in records if record is not None)
    model = f", model {first['model'] or 'default'}" if "model" in first else ""
    hashes = sorted({record["weights_sha256"] for record in records if record and "weights_sha256" in record})
    weights = f", weights {', '.join(map(short, hashes))}" if hashes else ""
    return [f"Method {first['method']}{model}{weights}, napari-masktrack {first['napari_masktrack']}."]


def _cells(numbers: Mapping[str, float], columns: Iterable[str]) -> list[str]:
    return [
        decimals(numbers.get(name), 3) if name == SPEED else percent(numbers.get(name)) for name in columns
    ]
