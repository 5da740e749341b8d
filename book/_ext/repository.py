"""Two addresses: the repository's, for the buttons, and that of the published pages.

The buttons launch a page in Binder or Colab, lead to its source, and report a mistake. The
repository's address comes from one place: CI, else the git remote, else ``repository: url:`` in
``_config.yml``. So a fork's book leads to the fork. Where there is no address there are no buttons.

The pages' address is ``html: baseurl:`` in ``_config.yml``, else that of GitHub Pages where CI
publishes them. Pages that are built elsewhere have none.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

BRANCH = "main"
UNKNOWN = r"REPOSITORY = \"\""  # as it is written in a notebook
COLAB = "https://colab.research.google.com"
GITHUB = "https://github.com"
FORGE = re.compile(r"(?:https://|ssh://git@|git@)(?P<host>[\w.-]+\.\w+)[:/](?P<path>[\w./~-]+)")


def address(environment: Mapping[str, str], remote: str, configured: str) -> str:
    """The repository's web address, or nothing."""
    if repository := environment.get("GITHUB_REPOSITORY"):
        return f"{environment.get('GITHUB_SERVER_URL', GITHUB)}/{repository}"
    if forge := FORGE.fullmatch(remote.strip()):
        return f"https://{forge['host']}/{forge['path'].strip('/').removesuffix('.git')}"
    return configured.rstrip("/")


def site(environment: Mapping[str, str], configured: str) -> str:
    """The address of the published pages, with a slash at its end, or nothing."""
    if configured:
        return configured.rstrip("/") + "/"
    owner, _, name = environment.get("GITHUB_REPOSITORY", "").partition("/")
    if not name or environment.get("GITHUB_SERVER_URL", GITHUB) != GITHUB:
        return ""
    home = f"{owner.lower()}.github.io"
    return f"https://{home}/" + ("" if name.lower() == home else f"{name}/")


def git_remote(folder: Path) -> str:
    """Where a checkout was cloned from; nothing where that cannot be said."""
    command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def set_addresses(app: Sphinx, config: Config) -> None:
    """Tell Sphinx and the theme, before it reads its options."""
    config.html_baseurl = site(os.environ, config.html_baseurl)
    options = config.html_theme_options
    configured = options.get("repository_url", "")
    url = address(os.environ, git_remote(Path(app.srcdir)), configured)
    options["repository_url"] = url
    if not url:
        return
    options |= {
        "repository_branch": BRANCH,
        "path_to_docs": Path(app.srcdir).name,
        "use_repository_button": True,
        "use_edit_page_button": True,
        "use_issues_button": True,
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            # It opens notebooks of GitHub, and these know where the book is if that is configured
            # (tools/colab.py).
            "colab_url": COLAB if url.startswith(GITHUB) and configured else "",
        },
    }


def complete_downloads(app: Sphinx, error: Exception | None) -> None:
    """Tell chapters that are downloaded where the book is, if their first cell does not know."""
    url = app.config.html_theme_options["repository_url"]
    if url and not error:
        for chapter in Path(app.outdir, "_sources").glob("*.ipynb"):
            text = chapter.read_text(encoding="utf-8")
            chapter.write_text(text.replace(UNKNOWN, rf"REPOSITORY = \"{url}\""), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("config-inited", set_addresses, priority=700)
    app.connect("build-finished", complete_downloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
