"""``.. public-names:: vaelib.lab`` documents what a room of the package exports, with autodoc.

The names come from the room's ``__init__.py``, so that a new one appears by itself. What the
package imports is mocked (``autodoc_mock_imports``): the page needs no torch, and is the same with
and without it.
"""

import inspect
import re
import sys
from importlib import import_module
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any, Union

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.autodoc import _CLASS_NEW_BLACKLIST
from sphinx.ext.autodoc.mock import _MockObject, mock, undecorate
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("vaelib", "vaelib.lab", "vaelib.book")


class PublicNames(SphinxDirective):
    """Document a room: its functions, classes and constants, module by module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write autodoc's directives and return what they become."""
        room = self.arguments[0]
        names = public_names(imported(room, self.config.autodoc_mock_imports))
        for path in (ROOT / "vaelib").rglob("*.py"):
            self.env.note_dependency(str(path))
        lines = [".. default-role:: code", ""]  # a word in single backticks is code
        for module, group in groupby(names, lambda name: home(room, name, names[name])):
            lines += [f".. rubric:: {module}", ""]
            for name in group:
                lines += entry(room, module, name, names[name])
        lines += [".. default-role::", ""]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source=room), 0, container)
        return container.children


def imported(room: str, mocked: list[str]) -> ModuleType:
    """Import a room with mocks of other packages, of those too that are imported already."""
    real = {name: sys.modules[name] for name in [*sys.modules] if name.split(".")[0] in mocked}
    for name in real:
        del sys.modules[name]
    with mock(mocked):
        module = import_module(room)
    sys.modules.update(real)
    return module


def public_names(room: ModuleType) -> dict[str, Any]:
    """What the room's ``__init__.py`` takes from its modules, in its order."""
    names = re.findall(r"^from \S+ import (\w+) as \1$", inspect.getsource(room), re.M)
    return {name: undecorate(getattr(room, name)) for name in names}


def home(room: str, name: str, thing: object) -> str:
    """The module that defines a public name; a constant does not know it."""
    if inspect.isclass(thing) or inspect.isroutine(thing):
        return thing.__module__
    inside = (key for key in sys.modules if key.startswith(f"{room}."))
    return next(key for key in inside if getattr(sys.modules[key], name, None) is thing)


def entry(room: str, module: str, name: str, thing: object) -> list[str]:
    """The directive that documents one name."""
    if inspect.isroutine(thing):
        return [f".. autofunction:: {room}.{name}", ""]
    if inspect.isclass(thing):
        lines = [f".. autoclass:: {room}.{name}", "   :members:"]
        if any(base.__module__.startswith("vaelib") for base in thing.__mro__[1:]):
            # The fields of an experiment are in groups, which have no entry of their own.
            lines += ["   :inherited-members:" if room == "vaelib.lab" else "   :show-inheritance:"]
        for field in getattr(thing, "__attrs_attrs__", ()):
            thing.__init__.__annotations__[field.name] = field.type  # attrs has its converter's
        return [*lines, ""]
    comment = ModuleAnalyzer.for_module(module).find_attr_docs()["", name]
    return [f".. py:data:: {room}.{name}", "", *(f"   {line}" for line in comment), ""]


def plain_text(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Keep |x| and Q(z|X), outside literals, from being read as markup."""
    for number, line in enumerate(lines):
        parts = re.split(r"(``.+?``)", line)
        parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
        lines[number] = "".join(parts)
    if what in ("attribute", "property"):
        # An empty comment: else napoleon takes what is before a colon for the type.
        lines[:0] = ["..", ""]


def short_types(
    app: Sphinx, what: str, name: str, thing: object, options: object, head: str, result: str
) -> tuple[str | None, str | None]:
    """Write Tensor, as the source does, and nothing that only Sphinx reads."""
    texts = (text and text.replace("torch.Tensor", "Tensor") for text in (head, result))
    short, result = (text and re.sub(r"~(?:\w+\.)+", "", text) for text in texts)
    return short, result


def skip_fields(
    app: Sphinx, what: str, name: str, thing: object, skip: bool, options: object
) -> bool | None:
    """Leave out the fields of a named tuple: they are listed above, and Python says no more."""
    return True if (getattr(thing, "__doc__", "") or "").startswith("Alias for field") else None


def leave_private(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.TextElement | None:
    """Show a type of ours in a signature without a link if it is no public name."""
    module = node.get("reftarget", "").rpartition(".")[0]
    return text if module.startswith("vaelib.") and module not in ROOMS else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive; `make book` does not install the package."""
    sys.path.insert(0, str(ROOT))
    # A mocked type may be part of an alias, Images = Tensor | NDArray[Any], and has no arguments.
    _MockObject.__or__ = _MockObject.__ror__ = lambda one, other: Union[one, other]  # noqa: UP007
    _MockObject.__getitem__ = lambda one, key: one
    _CLASS_NEW_BLACKLIST.append(f"{_MockObject.__module__}._MockObject.__new__")
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-docstring", plain_text, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", short_types)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("missing-reference", leave_private)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
