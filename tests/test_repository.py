"""The repository's address comes from CI, else from git, else from the configuration."""

import sys

import pytest
from conftest import BOOK

sys.path.insert(0, str(BOOK / "_ext"))
from repository import address, git_remote, site

CI = {"GITHUB_REPOSITORY": "someone/fork", "GITHUB_SERVER_URL": "https://forge.example"}
KNOWN = "https://forge.example/authors/book"


@pytest.mark.parametrize(
    ("environment", "remote", "configured", "expected"),
    [
        ({}, "", "", ""),
        ({}, "", KNOWN, KNOWN),
        ({}, "", f"{KNOWN}/", KNOWN),
        (CI, "", "", "https://forge.example/someone/fork"),
        (CI, f"{KNOWN}.git", KNOWN, "https://forge.example/someone/fork"),
        ({"GITHUB_REPOSITORY": "a/b"}, "", "", "https://github.com/a/b"),
        ({}, "https://forge.example/x/y.git\n", KNOWN, "https://forge.example/x/y"),
        ({}, "https://forge.example/x/y", "", "https://forge.example/x/y"),
        ({}, "git@forge.example:group/x/y.git\n", "", "https://forge.example/group/x/y"),
        ({}, "ssh://git@forge.example/x/y.git", "", "https://forge.example/x/y"),
        # A place on this machine, and an address with a password, are no addresses for readers.
        ({}, "/home/someone/book\n", "", ""),
        ({}, "/home/someone/book", KNOWN, KNOWN),
        ({}, "file:///home/someone/book", "", ""),
        ({}, "../book", "", ""),
        ({}, "https://user:secret@forge.example/x/y.git", "", ""),
        ({}, "http://localhost:3000/x/y.git", "", ""),
    ],
)
def test_the_address(environment, remote, configured, expected):
    assert address(environment, remote, configured) == expected


def test_no_git_no_remote(tmp_path, monkeypatch):
    assert git_remote(tmp_path) == ""
    monkeypatch.setenv("PATH", "")
    assert git_remote(tmp_path) == ""


@pytest.mark.parametrize(
    ("environment", "configured", "expected"),
    [
        ({}, "", ""),
        ({}, "https://book.example", "https://book.example/"),
        ({"GITHUB_REPOSITORY": "Some/Book"}, "", "https://some.github.io/Book/"),
        ({"GITHUB_REPOSITORY": "some/some.github.io"}, "", "https://some.github.io/"),
        ({"GITHUB_REPOSITORY": "a/b"}, "https://book.example/", "https://book.example/"),
        # Another forge publishes elsewhere, and nobody has said where.
        (CI, "", ""),
    ],
)
def test_the_address_of_the_pages(environment, configured, expected):
    assert site(environment, configured) == expected
