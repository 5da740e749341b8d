"""The API page, read from the package's source without importing it.

``.. public-names:: models`` documents, in the order of the source, the names of
``vaelib/models.py`` that ``vaelib/__init__.py`` exports. Only the standard library's parser and
Sphinx are used, so the page is the same on a machine without torch. (sphinx-autoapi looks into
installed packages, so its result depends on them.)
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, NumpyDocstring
from sphinx.util.docutils import SphinxDirective

Function = ast.FunctionDef | ast.AsyncFunctionDef

NAPOLEON = Config(napoleon_use_param=False, napoleon_use_rtype=False)


class Docstring(NumpyDocstring):
    """A numpy docstring as reStructuredText, attributes set like parameters."""

    def _parse_attributes_section(self, section: str) -> list[str]:
        return self._format_fields("Attributes", self._consume_fields())


class PublicNames(SphinxDirective):
    """Document what the package exports from one of its modules."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes of all names of the module."""
        package = Path(self.env.srcdir).parent / "vaelib"
        module = self.arguments[0]
        source = package / f"{module}.py"
        for path in (package / "__init__.py", source):
            self.env.note_dependency(str(path))
        wanted = exported(package / "__init__.py", f"vaelib.{module}")
        tree = ast.parse(source.read_text(encoding="utf-8"))
        tree = Spelled(aliases(tree)).visit(tree)
        classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        lines = [".. py:currentmodule:: vaelib", "", ".. default-role:: code", ""]
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in wanted:
                lines += describe_class(node, classes)
            elif isinstance(node, Function) and node.name in wanted:
                lines += entry("function", signature(node), node)
            elif (name := constant(node)) in wanted:
                lines += [f".. py:data:: {name}", "", *indent([*note_above(source, node), ""])]
        if len(lines) == 4:
            self.state.document.reporter.warning(
                f"public-names: vaelib/__init__.py exports nothing from vaelib.{module}",
                line=self.lineno,
            )
        lines += [".. default-role::", "", ".. py:currentmodule:: None", ""]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source=str(source)), 0, container)
        return container.children


def exported(init: Path, module: str) -> set[str]:
    """Names that the package's ``__init__`` takes from a module."""
    tree = ast.parse(init.read_text(encoding="utf-8"))
    return {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and full_name(node) == module
        for alias in node.names
    }


def full_name(node: ast.ImportFrom) -> str:
    """Absolute name of the module of a ``from … import`` at the top of the package."""
    name = node.module or ""
    return f"vaelib.{name}" if node.level else name


class Spelled(ast.NodeTransformer):
    """Writes out the module's own type aliases, which the reader of a signature cannot look up."""

    def __init__(self, known: dict[str, ast.expr]) -> None:
        self.known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace a name that is read, not the one that is defined."""
        return self.known.get(node.id, node) if isinstance(node.ctx, ast.Load) else node


def aliases(tree: ast.Module) -> dict[str, ast.expr]:
    """Type aliases of a module: ``Loss = Callable[[Tensor], Tensor]``."""
    return {
        name: node.value
        for node in tree.body
        if (name := constant(node)) and isinstance(node, ast.Assign) and not name.isupper()
        if isinstance(node.value, ast.Subscript | ast.BinOp)
    }


def constant(node: ast.stmt) -> str | None:
    """Name of the only target of an assignment."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    only = targets[0] if len(targets) == 1 else None
    return only.id if isinstance(only, ast.Name) else None


def note_above(source: Path, node: ast.stmt) -> list[str]:
    """The comment lines right above a constant, or the one behind its first line."""
    lines = source.read_text(encoding="utf-8").splitlines()
    above = node.lineno - 2
    note: list[str] = []
    while above >= 0 and lines[above].startswith("#"):
        note.insert(0, lines[above].lstrip("#: "))
        above -= 1
    return note or [lines[node.lineno - 1].partition("  # ")[2]]


def describe_class(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> list[str]:
    """Document a class: how it is made, what it is based on, its public methods."""
    body = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
    about = [f"Based on :py:class:`{base}`." for base in body]
    lines = entry("class", f"{node.name}({constructor(node, classes)})", node, about)
    for member in node.body:
        if (
            isinstance(member, Function)
            and not member.name.startswith("_")
            and ast.get_docstring(member)
        ):
            decorators = {ast.unparse(decorator) for decorator in member.decorator_list}
            kind = "property" if decorators & {"property", "cached_property"} else "method"
            if kind == "property":
                text = member.name
                options = [f":type: {ast.unparse(member.returns)}"] if member.returns else []
            else:
                text = signature(member, bound="staticmethod" not in decorators)
                options = [
                    f":{name}:" for name in ("classmethod", "staticmethod") if name in decorators
                ]
            lines += indent(entry(kind, text, member, options=options))
    return lines


def constructor(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> str:
    """Arguments a class is made with: its ``__init__``'s, an inherited one's, or its fields."""
    for member in node.body:
        if isinstance(member, Function) and member.name == "__init__":
            return arguments(member, bound=True)
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            return constructor(classes[base.id], classes)
    return ", ".join(field for member in node.body for field in fields(member))


def fields(member: ast.stmt) -> Iterator[str]:
    """The constructor argument a dataclass or NamedTuple field stands for."""
    if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
        text = f"{member.target.id}: {ast.unparse(member.annotation)}"
        if member.value is not None:
            default = ast.unparse(member.value)
            # field(default_factory=…) says more about dataclasses than about the argument.
            text += " = ..." if default.startswith("field(") else f" = {default}"
        if not member.target.id.startswith("_") and "ClassVar" not in text:
            yield text


def signature(node: Function, bound: bool = False) -> str:
    """Name, arguments and result of a function."""
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({arguments(node, bound)}){result}"


def arguments(node: Function, bound: bool) -> str:
    """Arguments of a function as its source has them, without ``self`` or ``cls``."""
    stripped = ast.arguments(**{name: getattr(node.args, name) for name in node.args._fields})
    if bound:
        stripped.args = stripped.args[1:]
    return ast.unparse(stripped)


def entry(
    kind: str,
    text: str,
    node: Function | ast.ClassDef,
    about: list[str] | None = None,
    options: list[str] | None = None,
) -> list[str]:
    """One object description: signature and docstring."""
    body = str(Docstring(plain_bars(ast.get_docstring(node) or ""), NAPOLEON)).splitlines()
    head = [f".. py:{kind}:: {text}", *indent(options or []), ""]
    return [*head, *indent([*body, "", *(about or []), ""])]


def plain_bars(docstring: str) -> str:
    """Keep the bar of Q(z|X) from being read as markup, except inside literals."""
    parts = re.split(r"(``.+?``)", docstring, flags=re.DOTALL)
    parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
    return "".join(parts)


def indent(lines: list[str]) -> list[str]:
    """Shift lines to the right by one level."""
    return [f"   {line}" if line else "" for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
