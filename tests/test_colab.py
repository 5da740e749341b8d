"""The first cell of each chapter, which fetches in Google Colab what is missing there.

tests/slow/test_colab.py runs chapters with it in an empty folder.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from conftest import BOOK, ROOT

sys.path.insert(0, str(BOOK / "_ext"))
sys.path.insert(0, str(ROOT / "tools"))
import colab
import repository

KNOWN = "https://forge.example/some/book"


def test_every_chapter_has_the_cell_and_it_knows_the_configured_address(chapter: Path) -> None:
    cells = nbformat.read(chapter, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert code[0].id == colab.IDENTIFIER
    assert code[0].source == colab.SOURCE.format(address=colab.address()), "make address"
    assert code[0].metadata.tags == ["remove-cell"]


def test_the_cell_is_put_in_once_and_kept_up_to_date() -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell("1")]
    )
    colab.put(notebook, "")
    colab.put(notebook, KNOWN)
    assert [cell.cell_type for cell in notebook.cells] == ["markdown", "code", "code"]
    assert f'REPOSITORY = "{KNOWN}"' in notebook.cells[1].source
    nbformat.validate(notebook)


def test_an_address_goes_into_the_configuration_and_the_chapters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "book").mkdir()
    text = (ROOT / "_config.yml").read_text(encoding="utf-8")
    (tmp_path / "_config.yml").write_text(text, encoding="utf-8")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title")])
    nbformat.write(notebook, tmp_path / "book" / "chapter.ipynb")
    monkeypatch.setattr(colab, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["colab.py", KNOWN])
    colab.main()
    assert colab.address() == KNOWN
    assert KNOWN in nbformat.read(tmp_path / "book" / "chapter.ipynb", as_version=4).cells[1].source
    changed = (tmp_path / "_config.yml").read_text(encoding="utf-8")
    monkeypatch.undo()
    assert changed.replace(KNOWN, colab.address()) == text


def test_elsewhere_the_cell_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    exec(colab.SOURCE.format(address="nowhere"), {})
    assert list(tmp_path.iterdir()) == []


def test_without_an_address_the_cell_asks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    with pytest.raises(AssertionError, match="address"):
        exec(colab.SOURCE.format(address=""), {})


@pytest.mark.parametrize(("configured", "said"), [("", KNOWN), ("https://other", "https://other")])
def test_a_download_knows_the_address_that_the_build_knows(
    configured: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "_sources").mkdir()
    path = tmp_path / "_sources" / "chapter.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title")])
    colab.put(notebook, configured)
    nbformat.write(notebook, path)
    config = SimpleNamespace(html_theme_options={"repository_url": KNOWN})
    repository.complete_downloads(SimpleNamespace(config=config, outdir=tmp_path), None)
    source = nbformat.read(path, as_version=4).cells[1].source
    assert source == colab.SOURCE.format(address=said)


@pytest.mark.parametrize(
    ("configured", "offered"),
    [("https://github.com/some/book", True), ("https://forge.example/a/b", False), ("", False)],
)
def test_colab_is_offered_where_it_works(
    configured: str, offered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    remote = configured or "https://github.com/some/book"
    monkeypatch.setattr(repository, "git_remote", lambda folder: remote)
    config = SimpleNamespace(html_theme_options={"repository_url": configured}, html_baseurl="")
    repository.set_addresses(SimpleNamespace(srcdir=str(BOOK)), config)
    buttons = config.html_theme_options["launch_buttons"]
    assert bool(buttons["colab_url"]) == offered
    assert buttons["binderhub_url"]
