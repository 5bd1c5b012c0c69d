"""The notebooks as they stand in the repository, and what they say to bad parameters."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from notebook_helpers import NOTEBOOKS, ROOT, code_cells, environment, tags

from lib.study import reading

EXPERIMENTS = [path for path in NOTEBOOKS if re.match("0[1-5]", path.stem)]
MACHINE_PATH = re.compile(r"(?<![\w.])/(root|home|Users|work|tmp)\b")
EMBEDDED = re.compile(r"base64,[A-Za-z0-9+/=\s]+")  # may hold "/tmp" by chance

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_experiment = pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)


def parameters_cell(path):
    tagged = [cell for cell in code_cells(path) if "parameters" in tags(cell)]
    assert len(tagged) == 1, f"{len(tagged)} cells are tagged parameters"
    return tagged[0]


def defaults(path):
    """The parameters' defaults by name; fails where one is no literal."""
    statements = ast.parse(parameters_cell(path).source).body
    return {node.targets[0].id: ast.literal_eval(node.value) for node in statements}


def stored_texts(path):
    """All text in the stored outputs: streams, tracebacks, plain and HTML renderings."""
    for cell in code_cells(path):
        for output in cell.outputs:
            yield output.get("text", "") + "\n".join(output.get("traceback", []))
            for mime, content in output.get("data", {}).items():
                if mime.startswith("text/"):
                    yield EMBEDDED.sub("", content)


def test_the_seven_notebooks_are_there():
    assert [path.stem[:2] for path in NOTEBOOKS if path.stem[0] == "0"] == [
        f"{number:02d}" for number in range(7)
    ]


# What a notebook looks like.


@each_notebook
def test_is_a_valid_notebook_for_any_python_kernel(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


@each_notebook
def test_opens_with_a_question_and_what_it_reads_writes_and_costs(path):
    first = nbformat.read(path, as_version=4).cells[0]
    title, *rest = first.source.splitlines()
    assert first.cell_type == "markdown"
    assert title.startswith(f"# {path.stem[:2]} · ") and title.endswith("?")
    for row in ("| reads |", "| writes |", "| time |"):
        assert any(line.startswith(row) for line in rest), f"no row {row}"


@each_notebook
def test_ends_with_what_next(path):
    assert "**What next.**" in nbformat.read(path, as_version=4).cells[-1].source


@each_notebook
def test_parameters_are_literals_each_with_a_comment(path):
    source = parameters_cell(path).source
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    commented = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
    assert defaults(path)
    assert {node.end_lineno for node in ast.parse(source).body} <= commented


@each_notebook
def test_defaults_are_the_smoke_study(path):
    if path.stem != "A2_published_record":  # which is about the paper, not about a study
        assert defaults(path)["study"] == "smoke"


@each_experiment
def test_an_experiment_has_the_parameters_of_a_run(path):
    also = reading.TEST_PARAMETERS if path.stem.startswith("05") else ()
    assert list(defaults(path)) == [*reading.RUN_PARAMETERS, *also]
    assert reading.run(**defaults(path)).variant == "plain"


@each_notebook
def test_cells_are_short_and_hold_no_algorithm(path):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for cell in code_cells(path):
        assert len(cell.source.splitlines()) <= 15, cell.source
        if "try-it" not in tags(cell):
            assert not any(isinstance(node, kinds) for node in ast.walk(ast.parse(cell.source)))
        assert "sys.path" not in cell.source


@pytest.mark.parametrize("number", ["01", "02", "04", "05"])
def test_there_is_something_to_try(number):
    (path,) = [path for path in NOTEBOOKS if path.stem.startswith(number)]
    assert [cell for cell in code_cells(path) if "try-it" in tags(cell)]


def test_packing_is_for_notebook_00_alone():
    """A late notebook that packed would turn a changed parameter into an hour of work."""
    packs = [p.stem for p in NOTEBOOKS if any("data.packing" in c.source for c in code_cells(p))]
    assert packs == ["00_data"]


# What is stored in it. A red test here: execute the notebook and save it.


@each_notebook
def test_every_code_cell_was_executed_in_order(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), "nbval compares executed cells only"


@each_notebook
def test_nbval_compares_at_least_three_cells(path):
    left_out = {"nbval-ignore-output", "nbval-skip"}
    compared = [cell for cell in code_cells(path) if cell.outputs and not tags(cell) & left_out]
    assert len(compared) >= 3


@each_notebook
def test_no_error_or_warning_is_stored(path):
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]


@each_notebook
def test_nothing_names_a_folder_of_one_machine(path):
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells]
    for text in (*sources, *stored_texts(path)):
        assert not MACHINE_PATH.search(text), text


# What it says to bad parameters: what was wrong, and what to do.

REFUSED = {
    "02_before_01": (
        "02_grid_vote",
        {},
        ["no trained network", "papermill notebooks/01_patch_accuracy.ipynb"],
    ),
    "unknown_parameter": (
        "01_patch_accuracy",
        {"patchsize": 16},
        ["patchsize: unknown parameter", "did you mean patch_size?"],
    ),
    "size_that_does_not_divide": (
        "01_patch_accuracy",
        {"patch_size": 24},
        ["patch_size: 24 does not divide the image size 64", "[8, 16, 32, 64]"],
    ),
}


def papermill(notebook, parameters, folder):
    """Runs the papermill command in an empty work folder: the finished process, and the folder."""
    command = [sys.executable, "-m", "papermill", "--no-progress-bar"]
    command += [f"notebooks/{notebook}.ipynb", str(folder / "out.ipynb")]
    for key, value in parameters.items():
        command += ["-p", key, str(value)]
    work = folder / "work"
    work.mkdir()
    env = environment(folder / "settings", PATCHWISE_WORK=work)
    for _ in range(3):  # kernels that start at once may pick the same port (papermill#511)
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=180, check=False
        )
        if "Kernel died" not in done.stderr:
            break
    return done, work


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """All of `REFUSED`, run side by side."""

    folders = {name: tmp_path_factory.mktemp(name) for name in REFUSED}  # not in the threads

    def run(name):
        notebook, parameters, _ = REFUSED[name]
        return papermill(notebook, parameters, folders[name])

    with ThreadPoolExecutor() as pool:
        return dict(zip(REFUSED, pool.map(run, REFUSED), strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_with_a_way_out(refusals, name):
    done, work = refusals[name]
    said = done.stdout + done.stderr
    assert done.returncode != 0
    for words in REFUSED[name][2]:
        assert words in said, said
    assert not list(work.iterdir()), "something was made before the refusal"
