"""A tired author's mistakes, planted one at a time in a copy, and the check that notices each.

A check that nobody has seen failing proves little. Here each of the faults below is planted in a
copy of the project, and the named check must fail there; on the copy without a fault it passes.
With ``VAELIB_FIGURES`` set, what was caught by which check is written to planted.jsonl in there.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import planted
import pytest
from conftest import ROOT

from vaelib import _store

sys.path.insert(0, str(ROOT / "tools"))
import validate_book

Notebook = dict[str, Any]
Change = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Fault:
    """What the author did to which file of the project, and which check notices."""

    name: str
    file: str
    change: Change
    caught_by: str


# --- ways to spoil a file -----------------------------------------------------------------------


def swap(find: str, replace: str, first: bool = False) -> Change:
    """Replace what is written once (or the first of several)."""

    def change(content: bytes) -> bytes:
        text = content.decode()
        found = text.count(find)
        assert found == 1 or (first and found), f"{find!r} is there {found} times: plant elsewhere"
        return text.replace(find, replace, 1).encode()

    return change


def add(line: str) -> Change:
    """Write one more line at the end."""
    return lambda content: content + f"\n{line}\n".encode()


def in_cells(spoil: Callable[[list[dict[str, Any]]], Any]) -> Change:
    """Change the list of a notebook's cells."""

    def change(content: bytes) -> bytes:
        notebook = json.loads(content)
        spoil(notebook["cells"])
        return json.dumps(notebook, ensure_ascii=False, indent=1).encode()

    return change


def in_cell(text: str, spoil: Callable[[dict[str, Any]], Any], after: str | None = None) -> Change:
    """Change the first code cell that has this text (and stands after one that has another)."""

    def spoil_one(cells: list[dict[str, Any]]) -> None:
        sources = ["".join(cell["source"]) if cell["cell_type"] == "code" else "" for cell in cells]
        start = next(i for i, said in enumerate(sources) if after in said) if after else 0
        spoil(
            next(
                cell
                for cell, said in zip(cells, sources, strict=True)
                if text in said and cells.index(cell) >= start
            )
        )

    return in_cells(spoil_one)


def in_source(find: str, replace: str) -> Change:
    """Edit the code of a cell and do not run it again."""

    def spoil(cell: dict[str, Any]) -> None:
        cell["source"] = "".join(cell["source"]).replace(find, replace)

    return in_cell(find, spoil)


def in_prose(find: str, replace: str) -> Change:
    """Edit the first text cell in which these words are."""

    def spoil(cells: list[dict[str, Any]]) -> None:
        cell = next(
            c for c in cells if c["cell_type"] == "markdown" and find in "".join(c["source"])
        )
        cell["source"] = "".join(cell["source"]).replace(find, replace, 1)

    return in_cells(spoil)


def in_output(text: str, find: str, replace: str) -> Change:
    """Edit what the first cell with this text has printed."""

    def spoil(cell: dict[str, Any]) -> None:
        written = json.dumps(cell["outputs"], ensure_ascii=False)
        assert find in written
        cell["outputs"] = json.loads(written.replace(find, replace))

    return in_cell(text, spoil)


def swap_lines(first: str, second: str) -> Change:
    """Write two lines in the other order."""

    def change(content: bytes) -> bytes:
        lines = content.decode().split("\n")
        a, b = (
            next(i for i, line in enumerate(lines) if line.startswith(s)) for s in (first, second)
        )
        lines[a], lines[b] = lines[b], lines[a]
        return "\n".join(lines).encode()

    return change


def run_of(pattern: str, number: int = 0) -> str:
    """A stored run whose name fits."""
    return sorted((ROOT / "book" / "runs").glob(pattern))[number].relative_to(ROOT).as_posix()


def content_of(file: str) -> Change:
    """Put another file in its place."""
    return lambda _: (ROOT / file).read_bytes()


def one_bit(content: bytes) -> bytes:
    """Flip a bit in the middle, as a disk does."""
    spoiled = bytearray(content)
    spoiled[len(spoiled) // 2] ^= 1
    return bytes(spoiled)


def other_weights(file: str, other: str) -> Change:
    """Store the weights of another run beside this one's measurements, properly sealed."""

    def change(content: bytes) -> bytes:
        tensors, description = _store.read(ROOT / file)
        weights = {
            name: value
            for name, value in _store.read(ROOT / other)[0].items()
            if name.startswith("weights/")
        }
        return sealed(tensors | weights, description)

    return change


def sealed(tensors: dict[str, Any], description: str) -> bytes:
    """The bytes of a run as the package would store it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        _store.write(path, tensors, description)
        return path.read_bytes()


# --- the faults ---------------------------------------------------------------------------------

OBJECTIVES, METRICS, MODELS = (f"vaelib/{n}.py" for n in ("objectives", "metrics", "models"))
GRADIENTS, TRAINING, THEORY = (f"vaelib/{n}.py" for n in ("gradients", "training", "theory"))
EXPERIMENT, CLAIMS, DATA = (f"vaelib/{n}.py" for n in ("experiment", "claims", "data"))
STORE, PLOTS = "vaelib/_store.py", "vaelib/plots.py"
KL, SPARSITY, SCOREBOARD = (
    f"book/{n}.ipynb" for n in ("03-kl-derived", "05-sparsity", "11-scoreboard")
)
ROWS, BIB, BINDER, LOCK = (
    *("book/claims.yml", "book/references.bib", "environment.yml", "requirements.lock"),
)


def gate(name: str, chapter: str = SPARSITY) -> str:
    """A gate of the stored chapters."""
    return f"test_book.py::test_gate[{Path(chapter).stem}-{name}]"


def in_code(file: str, name: str, find: str, replace: str, caught_by: str) -> Fault:
    """A fault that is a few other letters in a file."""
    test = f"test_{Path(file).stem.removeprefix('_')}.py"
    return Fault(name, file, swap(find, replace), f"{test}::{caught_by}")


IN_THE_PACKAGE = (
    *(
        in_code(OBJECTIVES, *row)
        for row in (
            (
                "the KL with its sign flipped",
                "return 0.5 * (mu.square() +",
                "return -0.5 * (mu.square() +",
                "test_kl_agrees_with_the_integral",
            ),
            (
                "the KL without its ½",
                "return 0.5 * (mu.square() +",
                "return (mu.square() +",
                "test_kl_agrees_with_the_integral",
            ),
            (
                "log σ² taken for log σ in the KL",
                "(logvar.expm1() - logvar)",
                "((2 * logvar).expm1() - 2 * logvar)",
                "test_kl_takes_log_variances_not_log_deviations",
            ),
            (
                "the KL summed before anyone asked",
                "(logvar.expm1() - logvar))",
                "(logvar.expm1() - logvar)).sum(1)",
                "test_kl_is_per_image_and_variable_not_summed",
            ),
            (
                "the textbook form of σ² − 1, which loses its digits",
                "logvar.expm1() - logvar",
                "logvar.exp() - 1 - logvar",
                "test_kl_keeps_its_digits_in_float32_near_the_prior",
            ),
            (
                "σ² where σ is due, in the draw of z",
                "return mu + (0.5 * logvar).exp() * noise",
                "return mu + logvar.exp() * noise",
                "test_draws_have_the_moments_of_the_posterior",
            ),
            (
                "mean over pixels where the sum is due",
                'reduction="none").sum(-1)',
                'reduction="none").mean(-1)',
                "test_bernoulli_likelihood_of_binary_pixels",
            ),
            (
                "η taken for η²",
                "variance = model.decoder_variance\n",
                "variance = model.decoder_variance.square()\n",
                "test_gaussian_likelihood",
            ),
            (
                "the Gaussian without its normaliser",
                " + (2 * math.pi * variance).log()",
                "",
                "test_gaussian_likelihood",
            ),
            (
                "the posterior mean where a sample is due",
                "sample_posterior(mu, logvar, generator) if sample else mu",
                "mu",
                "test_elbo_is_its_parts",
            ),
            (
                "β forgotten",
                "(beta * gaussian_kl(mu, logvar)).sum(1)",
                "gaussian_kl(mu, logvar).sum(1)",
                "test_a_beta_above_one_lowers_the_bound_by_the_kl",
            ),
            (
                "the mean of the logs where the log of the mean is due",
                "generator).logsumexp(0) - math.log(samples)",
                "generator).mean(0)",
                "test_iwae_is_the_elbo_with_one_draw_and_rises_to_the_log_likelihood_with_more",
            ),
            (
                "free bits for each image instead of their mean",
                "torch.where(kl.mean(0) > nats",
                "torch.where(kl > nats",
                "test_free_bits_charge_the_floor_below_it_and_the_kl_above",
            ),
            (
                "latent dropout scaled up, out of habit",
                "return z * (chance >= rate)",
                "return z * (chance >= rate) / (1 - rate)",
                "test_variables_are_dropped_at_their_rate_and_the_rest_is_not_scaled",
            ),
        )
    ),
    in_code(
        GRADIENTS,
        "a gradient written out with one term missing",
        "(sigma.square() - 1)",
        "sigma.square()",
        "test_it_is_what_autograd_finds",
    ),
    *(
        in_code(METRICS, *row)
        for row in (
            (
                "the variance of the mean log σ² for the mean variance",
                "mean_variance=logvar.exp().mean(0)",
                "mean_variance=logvar.mean(0).exp()",
                "test_the_mean_of_the_variances_is_not_the_variance_of_the_mean_logvar",
            ),
            (
                "mean σ for mean σ²",
                "mean_variance=logvar.exp().mean(0)",
                "mean_variance=(0.5 * logvar).exp().mean(0)",
                "test_latent_statistics_agree_with_numpy",
            ),
            (
                "n − 1 for n",
                "mu.var(0, correction=0)",
                "mu.var(0)",
                "test_latent_statistics_agree_with_numpy",
            ),
            (
                "a variable that stays zero when the next one's turn comes",
                "without = z.clone()",
                "without = z",
                "test_gain_of_a_decoder_made_by_hand",
            ),
            (
                "the mutual information without its log N",
                "log_marginal = torch.cat(parts) - math.log(len(z))",
                "log_marginal = torch.cat(parts)",
                "test_well_separated_posteriors_say_all_they_can",
            ),
            (
                "another threshold for an active unit",
                "threshold: float = 0.01",
                "threshold: float = 0.02",
                "test_active_units",
            ),
        )
    ),
    *(
        in_code(MODELS, *row)
        for row in (
            (
                "logits shown as pixels",
                "return output.sigmoid()",
                "return output",
                "test_bernoulli_means_stay_in_the_unit_interval_for_extreme_codes",
            ),
            (
                "pruned: the right number of variables, but the first ones",
                '["decoder.0.weight"][:, index]',
                '["decoder.0.weight"][:, : len(index)]',
                "test_pruning_keeps_what_a_network_of_any_kind_computes",
            ),
            (
                "Glorot's other initialisation",
                "nn.init.xavier_uniform_",
                "nn.init.xavier_normal_",
                "test_glorot_is_uniform_with_the_bound_of_keras_and_zero_biases",
            ),
            (
                "rand for randn",
                "z = torch.randn(n, self.latent",
                "z = torch.rand(n, self.latent",
                "test_sample_decodes_standard_normal_draws",
            ),
            (
                "a comparison turned round, which lets NaN pass",
                "if not (low >= 0 and high <= 1):",
                "if low < 0 or high > 1:",
                "test_bad_images_are_an_error_that_names_the_argument",
            ),
        )
    ),
    *(
        in_code(THEORY, *row)
        for row in (
            (
                "β on the wrong side of the water level",
                "water = beta * noise_variance",
                "water = noise_variance / beta",
                "test_more_noise_or_beta_never_brings_a_variable_to_life",
            ),
            (
                "eigenvalues turned round, their directions not",
                "directions.flip(1))",
                "directions)",
                "test_principal_components_agree_with_numpy",
            ),
            (
                "σ for σ² in the density of PCA",
                "* model.decoder_variance.double()",
                "* model.decoder_variance.double().sqrt()",
                "test_linear_log_likelihood_agrees_with_scipy",
            ),
        )
    ),
    *(
        in_code(TRAINING, *row)
        for row in (
            (
                "images never shuffled",
                "torch.randperm(n, generator=generator)",
                "torch.arange(n)",
                "test_the_order_depends_on_the_seed_alone_and_changes_every_epoch",
            ),
            (
                "a learning rate that never falls",
                "learning_rate *= slower",
                "learning_rate *= 1",
                "test_the_learning_rate_falls_geometrically_from_epoch_to_epoch_to_its_last_value",
            ),
            (
                "gradients never forgotten",
                "model.zero_grad()",
                "pass",
                "test_the_steps_are_those_of_adam",
            ),
            (
                "Adam's decays exchanged",
                "beta1=0.9,\n            beta2=0.999",
                "beta1=0.999,\n            beta2=0.9",
                "test_the_steps_are_those_of_adam",
            ),
        )
    ),
    *(
        in_code(EXPERIMENT, *row)
        for row in (
            (
                "the training set evaluated for the test set",
                "mu, logvar = encode_images(model, data.test_images)",
                "mu, logvar = encode_images(model, data.train_images)",
                "test_the_measurements_are_those_of_the_trained_model_in_float64",
            ),
            (
                "the classifier judged on what it has learnt",
                "_logits(model, data.test_images).argmax(1) == data.test_labels",
                "_logits(model, data.train_images).argmax(1) == data.train_labels",
                "test_a_classifier_has_an_accuracy_and_no_latent_variables",
            ),
            (
                "the same first weights for every seed",
                "torch.manual_seed(self.seed)",
                "torch.manual_seed(0)",
                "test_the_seed_alone_decides_the_first_weights",
            ),
            (
                "a warm-up that starts one epoch late",
                "min(1.0, epoch / experiment.beta_warmup)",
                "min(1.0, max(0, epoch - 1) / experiment.beta_warmup)",
                "test_each_field_changes_training_as_documented[beta_warmup]",
            ),
            (
                "a run taken without a look at what it is of",
                "if description != experiment.canonical:",
                "if False:",
                "test_a_run_under_another_name_does_not_fit",
            ),
            (
                "training in silence where it is forbidden",
                '.get("VAELIB_TRAIN") == "never"',
                '.get("VAELIB_TRAIN") == "Never"',
                "test_training_can_be_forbidden",
            ),
        )
    ),
    *(
        in_code(CLAIMS, *row)
        for row in (
            (
                "one good number is enough",
                "return bool(inside.all())",
                "return bool(inside.any())",
                "test_of_an_array_every_element_counts",
            ),
            (
                "the end of an interval left out",
                "(numbers <= self.high)",
                "(numbers < self.high)",
                "test_the_printed_line_is_exact",
            ),
            (
                "NaN accepted",
                "inside = (numbers >= self.low) & (numbers <= self.high) & np.isfinite(numbers)",
                "inside = ~((numbers < self.low) | (numbers > self.high))",
                "test_nan_is_never_accepted",
            ),
        )
    ),
    in_code(DATA, "256 greys instead of 255", ".div_(255)", ".div_(256)", "test_to_pixels"),
    in_code(
        DATA,
        "a damaged file of MNIST taken as it is",
        "if _md5(content) != expected:",
        "if not content:",
        "test_damaged_mnist_is_an_error_never_a_replacement",
    ),
    in_code(
        STORE,
        "a seal that is never broken",
        "if found != seal[1]:",
        "if not found:",
        "test_one_flipped_bit_is_seen_in_every_byte",
    ),
    in_code(PLOTS, "two digits for three", "max(0, 2 -", "max(0, 1 -", "test_three_digits"),
    Fault(
        "a theory that draws its own tables: an import against the arrows",
        THEORY,
        swap("import to_pixels\n", "import to_pixels\nfrom vaelib.plots import table\n"),
        "test_architecture.py::test_a_module_imports_only_those_before_it",
    ),
)

IN_THE_BOOK = (
    Fault(
        "a cell's output removed",
        SPARSITY,
        in_cell("table(", lambda cell: cell.update(outputs=[])),
        gate("outputs_present"),
    ),
    Fault(
        "one cell run again, out of order",
        SPARSITY,
        in_cell("table(", lambda cell: cell.update(execution_count=99)),
        gate("executed_in_order"),
    ),
    Fault(
        "a cell taken out, the others not run again",
        SPARSITY,
        in_cells(lambda cells: cells.remove(next(c for c in cells if c["cell_type"] == "code"))),
        gate("executed_in_order"),
    ),
    Fault(
        "an alt text emptied",
        SPARSITY,
        in_cell(
            "plt.show()",
            lambda cell: cell["metadata"]["mystnb"]["image"].update(alt=" "),
        ),
        gate("figures_described"),
    ),
    Fault(
        "a figure renamed, its references not",
        SPARSITY,
        in_cell(
            "plt.show()",
            lambda cell: cell["metadata"]["mystnb"]["figure"].update(name="fig-new"),
        ),
        gate("figures_described"),
    ),
    Fault(
        "a cell exempt from validation",
        SPARSITY,
        in_cell("table(", lambda cell: cell["metadata"].update(tags=["nbval-ignore-output"])),
        gate("nothing_escapes"),
    ),
    Fault(
        "a folder of the author's machine in the text",
        SPARSITY,
        in_prose("\n", "\nSee /home/author/notes.txt.\n"),
        gate("no_local_paths"),
    ),
    Fault(
        "a warning left in the outputs",
        SPARSITY,
        in_cell(
            "table(",
            lambda cell: cell["outputs"].append(
                {"output_type": "stream", "name": "stderr", "text": "UserWarning: deprecated\n"}
            ),
        ),
        gate("no_errors"),
    ),
    Fault(
        "a chapter that reaches behind the package",
        SPARSITY,
        in_source("from vaelib import (", "from vaelib.metrics import ("),
        gate("public_names_only"),
    ),
    Fault(
        "the editor's own metadata stored",
        SPARSITY,
        in_cell("table(", lambda cell: cell["metadata"].update(collapsed=False)),
        gate("normal_form"),
    ),
    Fault(
        "a table that is not the end of its cell, so that nobody sees it",
        SPARSITY,
        in_source("table(claim_values())", 'table(claim_values())\nprint("done")'),
        gate("nothing_lost"),
    ),
    Fault(
        "the measured number behind a verdict edited",
        SPARSITY,
        in_output("table(claim_values())", "5.39", "0.39"),
        gate("claims_measured"),
    ),
    Fault(
        "a verdict turned by hand",
        SPARSITY,
        in_output('claim("law-sixteen"', "✓ holds · law-sixteen", "✗ FAILS · law-sixteen"),
        gate("claims_compared"),
    ),
    Fault(
        "a claim checked twice",
        KL,
        in_source('claim("kl-', 'claim("law-sixteen", 1)\nclaim("kl-'),
        "test_book.py::test_every_claim_is_checked_by_exactly_one_cell",
    ),
    Fault(
        "a claim that no chapter checks any more",
        SPARSITY,
        in_source('claim("law-sixteen", (off_law <= 0.2).double().mean())\n', ""),
        "test_book.py::test_every_claim_is_checked_by_exactly_one_cell",
    ),
    Fault(
        "a scoreboard from before the last change",
        SCOREBOARD,
        in_output("show_verdicts(", " values)", "0 values)"),
        "test_book.py::test_the_scoreboard_shows_every_claim_as_its_chapter_stored_it",
    ),
    Fault(
        "a page that the table of contents does not list",
        "_toc.yml",
        swap("      - file: notation\n", ""),
        "test_book.py::test_table_of_contents_lists_exactly_the_pages_of_the_book",
    ),
    Fault(
        "a citation key broken in the text",
        SPARSITY,
        in_prose("{cite", "{cite:t}`asperti2918` {cite"),
        "test_book.py::test_citations_are_in_the_bibliography",
    ),
    Fault(
        "a key changed in the bibliography",
        BIB,
        swap("{alemi2018,", "{alemi2017,"),
        "test_book.py::test_citations_are_in_the_bibliography",
    ),
    Fault(
        "a claim's interval widened to everything",
        ROWS,
        swap("accepted: [0.8, 1.2]", "accepted: [null, null]", first=True),
        "test_claims.py::test_the_claims_of_the_book_are_well_formed",
    ),
    Fault(
        "a claim's interval widened until it holds",
        ROWS,
        swap("accepted: [0.99, 1.02]", "accepted: [0.9, 1.2]"),
        "test_book.py::test_claim_lines_say_what_the_file_says",
    ),
    Fault(
        "a claim reworded, its chapter not run again",
        ROWS,
        swap(
            "changes the average pixel by at most two", "changes the average pixel by at most ten"
        ),
        "test_book.py::test_claim_lines_say_what_the_file_says",
    ),
    Fault(
        "two claims with one id",
        ROWS,
        swap("intro-working-knobs:", "intro-silent-knobs:"),
        "test_claims.py::test_the_claims_of_the_book_are_well_formed",
    ),
    Fault(
        "a claim by nobody we know",
        ROWS,
        swap("source: baldi1989", "source: baldi1998"),
        "test_book.py::test_every_claim_says_what_by_whom_and_why",
    ),
    Fault(
        "an interval without a reason",
        ROWS,
        swap("why: N(0, I) has 1.", "why: ''  # N(0, I) has 1."),
        "test_book.py::test_every_claim_says_what_by_whom_and_why",
    ),
)

VAE2 = "glyphs-vae2-*.run.safetensors"
RUN, OTHER_RUN = run_of(VAE2, 0), run_of(VAE2, 1)
IN_WHAT_IS_STORED = (
    Fault(
        "a run of another experiment renamed",
        RUN,
        content_of(OTHER_RUN),
        f"test_runs.py::test_a_stored_run_is_whole_and_has_its_right_name"
        f"[{Path(RUN).name.removesuffix('.safetensors')}]",
    ),
    Fault(
        "a run with one bit flipped",
        RUN,
        one_bit,
        "test_runs.py",  # which names it before a test begins
    ),
    Fault(
        "the weights of another seed beside the measurements",
        RUN,
        other_weights(RUN, OTHER_RUN),
        f"test_runs.py::test_the_weights_are_those_that_were_measured"
        f"[{Path(RUN).name.removesuffix('.run.safetensors')}]",
    ),
    Fault(
        "the README's picture from an older introduction",
        "book/_static/overview.png",
        one_bit,
        "test_book.py::test_the_picture_of_the_readme_is_the_one_the_intro_computed",
    ),
)

IN_THE_TOOLS = (
    Fault(
        "a pin drifted in Binder's environment",
        BINDER,
        swap("numpy==2.4.6", "numpy==2.4.7"),
        "test_environment.py::test_binder_has_the_versions_of_the_lock",
    ),
    Fault(
        "another Python for Binder",
        BINDER,
        swap("python=3.11", "python>=3.11"),
        "test_environment.py::test_binder_file_is_as_binder_reads_it",
    ),
    Fault(
        "a version left open in the lock",
        LOCK,
        swap("scipy==", "scipy>="),
        "test_environment.py::test_lock_holds_nothing_but_exact_versions",
    ),
    Fault(
        "a graphics card needed to read a book",
        LOCK,
        add("nvidia-cublas==13.1.0.3"),
        "test_environment.py::test_lock_forces_no_accelerator_package",
    ),
    Fault(
        "a dependency that is in no lock",
        "pyproject.toml",
        swap('    "pyyaml>=6.0",\n', '    "pandas>=3",\n    "pyyaml>=6.0",\n'),
        "test_environment.py::test_lock_has_every_direct_dependency_at_a_version_it_allows",
    ),
    Fault(
        "a validation that may train",
        "tools/validate_book.py",
        swap('"VAELIB_TRAIN": "never"', '"VAELIB_TRAIN": "always"'),
        "test_book.py::test_validation_forbids_training",
    ),
    Fault(
        "a validation that looks away",
        "tools/validate_book.py",
        swap('"--nbval" if strict else', '"--nbval-lax" if strict else'),
        "test_book.py::test_validation_fails_exactly_where_an_output_was_changed",
    ),
    Fault(
        "a scoreboard run before the chapters it reads",
        "tools/run_notebooks.py",
        swap('("scoreboard" in path.stem, path)', "path.stem"),
        "test_book.py::test_the_scoreboard_is_stored_after_all_it_reads",
    ),
    Fault(
        "a gate that always opens",
        "tests/gates.py",
        swap("if expects_output(cell) and not cell", "if not expects_output(cell) and not cell"),
        "test_book.py::test_gate_notices[stripped outputs]",
    ),
)
FAULTS = (*IN_THE_PACKAGE, *IN_THE_BOOK, *IN_WHAT_IS_STORED, *IN_THE_TOOLS)


# --- the checks ---------------------------------------------------------------------------------


def copied(folder: Path) -> Path:
    """A copy of the project."""
    project = folder / "copy"
    planted.copy_project(project)
    return project


def plant(fault: Fault, project: Path) -> None:
    """Spoil one file of a copy."""
    path = project / fault.file
    content = path.read_bytes()
    spoiled = fault.change(content)
    assert spoiled != content
    planted.replace_file(path, spoiled)


def report(fault: Fault) -> None:
    """Keep for the appendix what was caught by what."""
    if folder := os.environ.get("VAELIB_FIGURES"):
        row = {"fault": fault.name, "file": fault.file, "caught_by": fault.caught_by}
        with Path(folder, "planted.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_caught(fault: Fault, tmp_path: Path) -> None:
    project = copied(tmp_path)
    plant(fault, project)
    status, output = planted.run_pytest(project, ["--exitfirst", f"tests/{fault.caught_by}"])
    said = "FAILED" if "::" in fault.caught_by else "ERROR"
    assert status in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED), output
    assert f"{said} tests/{fault.caught_by}" in output, output
    report(fault)


def test_without_a_fault_the_same_checks_pass(tmp_path: Path) -> None:
    checks = sorted({f"tests/{fault.caught_by}" for fault in FAULTS})
    status, output = planted.run_pytest(copied(tmp_path), checks)
    assert status == pytest.ExitCode.OK, output


# --- what only running a chapter shows ----------------------------------------------------------

EDITED = Fault(
    "a stored output edited",
    KL,
    in_output("Q, P = Normal(1.0, 0.5)", "1.77", "1.78"),
    "make validate CHAPTER=03",
)
NOT_RUN = Fault(
    "a cell's code changed and not run again",
    KL,
    in_source("sd = torch.tensor([0.01,", "sd = torch.tensor([0.02,"),
    "make validate CHAPTER=03",
)
IN_CHAPTERS = (EDITED, NOT_RUN)


@pytest.fixture(scope="module")
def mnist() -> None:
    """Without MNIST only the lines of claims are compared."""
    if validate_book.dataset() != "mnist":
        pytest.skip("MNIST is not at hand: numbers are not compared")


@pytest.mark.usefixtures("mnist")
@pytest.mark.parametrize("fault", IN_CHAPTERS, ids=lambda fault: fault.name)
def test_a_fault_is_caught_where_the_chapter_is_run(fault: Fault, tmp_path: Path) -> None:
    project = copied(tmp_path)
    stored = cells_of(project / KL)
    plant(fault, project)
    (spoiled,) = [
        number
        for number, (old, new) in enumerate(zip(stored, cells_of(project / KL), strict=True))
        if old != new
    ]
    validation = validate_book.command(strict=True, targets=[KL], workers=1)
    status, output = planted.run_pytest(project, validation[validation.index("-p") :])
    assert status == pytest.ExitCode.TESTS_FAILED, output
    # That cell, and no other: so on the chapter without the fault all would pass.
    assert re.findall(r"^FAILED .*::Cell (\d+)", output, re.M) == [str(spoiled)], output
    report(fault)


def cells_of(path: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


# --- what only the build shows ------------------------------------------------------------------

# Each with what the warning says. A build takes half a minute, so they share one.
IN_THE_TEXT = {
    "a citation of nobody": ("{cite}`nobody1999`", "nobody1999"),
    "a section that was renamed": ("{ref}`chap-old`", "undefined label: 'chap-old'"),
    "a figure that was dropped": ("{numref}`fig-old`", "undefined label: 'fig-old'"),
    "an equation that has no number": ("{eq}`eq-old`", "equation not found: eq-old"),
    "a claim that was withdrawn": ("{ref}`so <claim-old>`", "undefined label: 'claim-old'"),
    "a word that the glossary lacks": ("{term}`old word`", "term not in glossary: 'old word'"),
    "a function that was renamed": ("{py:func}`vaelib.old_kl`", "not found: vaelib.old_kl"),
    "a page that was moved": ("[there](old-page.md)", "old-page.md"),
    "a picture that was not stored": ("![a line](_static/old.png)", "old.png"),
    "a directive misspelt": ("```{admonitoin} Note\nSo.\n```", "admonitoin"),
    "a heading two levels down": ("#### Down here", "Non-consecutive header level"),
    "a label given twice": ("(chap-sparsity)=\n## Sparse", "duplicate label chap-sparsity"),
}
PAGE = "book/notation.md"


@pytest.fixture(scope="module")
def warnings_of_the_build(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Plant all of them in one copy and run ``make book`` there."""
    project = copied(tmp_path_factory.mktemp("built"))
    for name, (text, _) in IN_THE_TEXT.items():
        plant(Fault(name, PAGE, add(text), "make book"), project)
    installed = Path(sys.prefix, ".book")
    result = subprocess.run(
        ["make", f"VENV={sys.prefix}", f"--old-file={installed}", "book"],
        cwd=project,
        env=planted.settings(project),
        capture_output=True,
        text=True,
        timeout=600,
    )
    output = re.sub(r"\x1b\[[\d;]*m", "", result.stdout + result.stderr)
    assert result.returncode, output
    return re.findall(r"^.*(?:WARNING|ERROR): .*$", output, re.M)


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize("name", IN_THE_TEXT)
def test_a_fault_is_caught_by_the_build(name: str, warnings_of_the_build: list[str]) -> None:
    text, says = IN_THE_TEXT[name]
    assert any(says in warning for warning in warnings_of_the_build), warnings_of_the_build
    report(Fault(name, PAGE, add(text), "make book"))


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_the_build_complains_of_nothing_else(warnings_of_the_build: list[str]) -> None:
    expected = [says for _, says in IN_THE_TEXT.values()]
    assert [
        warning
        for warning in warnings_of_the_build
        if not any(says in warning for says in expected)
    ] == []
