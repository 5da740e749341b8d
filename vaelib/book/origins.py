"""On which datasets a claim rests, read from the code of the chapter that checks it."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vaelib.data import NAMES

# ``load("mnist")``: MNIST, and the glyphs where the chapter runs without it.
EITHER = "mnist, else glyphs"
# What `Experiment` takes where no dataset is given.
DEFAULT = "mnist"


def datasets_of_claims(cells: Sequence[str]) -> dict[str, frozenset[str]]:
    """Find the datasets of every claim that these code cells check.

    A claim rests on what its value is computed from: the names in it, the statements that gave
    these names their values, the names in those, and so on. The datasets that all of them name are
    collected; `EITHER` stands for ``load("mnist")``. ``runs["mnist"]`` is MNIST's part of ``runs``,
    ``runs[data.name]`` that of what was loaded. Otherwise a part of a value counts as the whole, so
    the result is an upper bound.
    """
    statements = [Statement.of(node) for cell in cells for node in ast.parse(cell).body]
    trace = Trace(statements)
    found = {}
    for place, statement in enumerate(statements):
        for call in ast.walk(statement.node):
            if isinstance(call, ast.Call) and _name(call.func) == "claim":
                key, value = call.args
                datasets = trace.of_statement(Statement.of(ast.Expr(value)), place)
                # What is measured on named datasets too is not measured again without MNIST.
                named = datasets & {"mnist", "glyphs"}
                found[ast.literal_eval(key)] = frozenset(datasets - {EITHER} if named else datasets)
    return found


@dataclass
class Statement:
    """A statement of a chapter: what it gives a value to, what it needs, and what it names.

    Attributes
    ----------
    node : ast.stmt
    binds, uses : set of str
        Names of the chapter, not those within a function or a comprehension.
    names : set of str
        Datasets.
    parts : dict
        For a name of which only parts are used, as in ``name["mnist"]``, the datasets of these.
    open : bool
        Whether it makes experiments whose dataset comes from elsewhere or is the default.
    """

    node: ast.stmt
    binds: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    parts: dict[str, set[str]] = field(default_factory=dict)
    open: bool = False

    @classmethod
    def of(cls, node: ast.stmt) -> Statement:
        """Read a statement."""
        result = cls(node)
        for symbol, outside in _symbols(symtable.symtable(ast.unparse(node), "chapter", "exec")):
            if outside and symbol.is_assigned():
                result.binds.add(symbol.get_name())
            if symbol.is_referenced() and (outside or symbol.is_global()):
                result.uses.add(symbol.get_name())
        result._read_changes()
        result._read_datasets()
        return result

    @property
    def replaces(self) -> bool:
        """Whether the names that it binds have no part of their former value."""
        return isinstance(self.node, (ast.Assign, ast.AnnAssign, ast.FunctionDef))

    def _read_changes(self) -> None:
        """Note what is changed in place: ``a[0] = 1``, ``a.b = 1``, ``a.append(1)``."""
        places = (ast.Subscript, ast.Attribute)
        for part in ast.walk(self.node):
            if isinstance(part, places) and isinstance(part.ctx, ast.Store):
                self.binds.add(_name(part))
            elif isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
                method = part.value.func
                self.binds |= {_name(method)} if isinstance(method, ast.Attribute) else set()

    def _read_datasets(self) -> None:
        """Note the datasets that are named, but for the places where that says something else."""
        elsewhere: set[ast.AST] = set()
        for part in ast.walk(self.node):
            if isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name):
                if dataset := _dataset(part.slice):
                    self.parts.setdefault(part.value.id, set()).add(dataset)
                    elsewhere |= {part.slice, part.value}
            elif isinstance(part, ast.Call) and _name(part.func) == "load":
                self.names |= {EITHER if _dataset(name) == DEFAULT else "" for name in part.args}
                elsewhere |= {name for name in part.args if _dataset(name) == DEFAULT}
            elif isinstance(part, ast.Call) and _name(part.func) == "Experiment":
                given = {keyword.arg for keyword in part.keywords}  # None: ``**more``
                self.names |= set() if given & {"dataset", None} else {DEFAULT}
                self.open |= "dataset" not in given
            elif isinstance(part, ast.FunctionDef):
                defaults = {d for d in (*part.args.defaults, *part.args.kw_defaults) if d}
                self.open |= any(_dataset(default) for default in defaults)
                elsewhere |= defaults
        for part in ast.walk(self.node):
            if part not in elsewhere:
                self.names.add(_dataset(part))
                if isinstance(part, ast.Name):
                    self.parts.pop(part.id, None)
        self.names.discard("")


class Trace:
    """Follows values back through the statements of a chapter."""

    def __init__(self, statements: Sequence[Statement]) -> None:
        self.statements = statements
        self.known: dict[tuple[int, int], set[str]] = {}
        # What a function changes is changed where it is called.
        changes: dict[str, set[str]] = {}
        for statement in statements:
            if isinstance(statement.node, ast.FunctionDef):
                changes[statement.node.name] = statement.binds - {statement.node.name}
                statement.binds = {statement.node.name}
        self.changed = [
            set().union(*(changes.get(name, set()) for name in s.uses)) for s in statements
        ]

    def of_statement(self, statement: Statement, place: int) -> set[str]:
        """Return the datasets of a statement in this place."""
        found, is_open = set(statement.names), statement.open
        for name in statement.uses:
            of_name, name_is_open = self.of_name(name, place)
            found |= statement.parts.get(name, of_name) if of_name else set()
            is_open |= name_is_open
        function = isinstance(statement.node, ast.FunctionDef)
        return {DEFAULT} if is_open and not found and not function else found

    def of_name(self, name: str, place: int) -> tuple[set[str], bool]:
        """Return the datasets of a name just before a place, and whether it is an open function."""
        found: set[str] = set()
        for earlier in range(place - 1, -1, -1):
            statement = self.statements[earlier]
            if name not in statement.binds | self.changed[earlier]:
                continue
            # A function finds the names in it where it is called, not where it stands.
            function = isinstance(statement.node, ast.FunctionDef)
            at = place if function else earlier
            if (earlier, at) not in self.known:
                self.known[earlier, at] = set()  # it may need itself
                self.known[earlier, at] = self.of_statement(statement, at)
            found |= self.known[earlier, at]
            if name in statement.binds and statement.replaces:
                return found, function and statement.open
        return found, False


def _symbols(
    table: symtable.SymbolTable, outside: bool = True
) -> Iterator[tuple[symtable.Symbol, bool]]:
    """List the names of a statement and, second value False, of the functions within it."""
    for symbol in table.get_symbols():
        yield symbol, outside
    for inner in table.get_children():
        yield from _symbols(inner, outside=False)


def _name(node: ast.AST) -> str:
    """Return the name at the bottom of ``a.b[c].d``, if there is one."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _dataset(node: ast.AST) -> str:
    """Return the dataset that a constant or ``data.name`` stands for, or an empty string."""
    if isinstance(node, ast.Attribute) and ast.unparse(node) == "data.name":
        return EITHER
    name = node.value if isinstance(node, ast.Constant) else None
    return name if isinstance(name, str) and name in NAMES else ""
