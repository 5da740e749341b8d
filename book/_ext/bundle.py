"""One style sheet and one script for all pages, instead of a dozen of each.

The style sheets that pages ask for are joined to ``_static/book.css`` when all pages are written,
and the scripts to ``_static/book.js``, in the order in which pages ask for them. What only some
pages need (explorables, the search) stays by itself. On the way:

- rules for classes that occur on no page and in no script are left out;
- rules for one colour scheme hold without scripts too, where the reader's system asks for it;
- pictures get their size, so that nothing moves when they come.
"""

import re
from hashlib import sha256
from itertools import chain
from pathlib import Path, PurePosixPath
from posixpath import normpath
from urllib.parse import unquote
from xml.etree import ElementTree

import tinycss2
from sphinx.application import Sphinx
from tinycss2.ast import AtRule, Node, QualifiedRule

SHEET = re.compile(r'[ \t]*<link (?:rel="stylesheet"|(?=[^>]*rel="stylesheet"))[^>]*>\n?')
SCRIPT = re.compile(r'[ \t]*<script\b(?P<attributes>[^>]*)\ssrc="(?P<src>[^"]*)"[^>]*></script>\n?')
HREF = re.compile(r'href="(?P<href>[^"]*)"')
APART = re.compile(r"^explorables/|design-tabs")
SEARCH = re.compile(r"(?:searchtools|language_data|searchindex)\.js$")
SETTINGS = "documentation_options.js"  # small, and the scripts that stand in a page need it at once
IMAGE = re.compile(r"<img\b(?![^>]*\s(?:width|height)=)[^>]*>")
CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")
SCHEMES = ("light", "dark")


class Bundle:
    """Files of one kind, joined in the order in which pages ask for them."""

    def __init__(self, static: Path) -> None:
        self.static = static
        self.names: list[str] = []

    def add(self, names: list[str]) -> None:
        """Take in what one page asks for, each file after those it follows there."""
        at = 0
        for name in names:
            if name in self.names:
                at = self.names.index(name) + 1
            else:
                self.names.insert(at, name)
                at += 1

    def texts(self) -> list[tuple[str, str]]:
        """Names and contents."""
        return [(name, (self.static / name).read_text(encoding="utf-8")) for name in self.names]

    def write(self, name: str, text: str) -> str:
        """Write the whole; return its address with the version."""
        (self.static / name).write_text(text, encoding="utf-8")
        return f"_static/{name}?v={sha256(text.encode()).hexdigest()[:8]}"


def local(address: str) -> str | None:
    """The name within ``_static`` of what a page asks for."""
    path = unquote(address.partition("?")[0])
    return path.removeprefix("_static/") if path.startswith("_static/") else None


def bundle(app: Sphinx, failure: Exception | None) -> None:
    """Join what the pages of a finished build ask for."""
    if failure or app.builder.format != "html":
        return
    out = Path(app.outdir)
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(out.glob("*.html"))}
    sheets, scripts = Bundle(out / "_static"), Bundle(out / "_static")
    for text in pages.values():
        sheets.add([name for tag in SHEET.findall(text) if (name := sheet_of(tag))])
        found = [local(match["src"]) for match in SCRIPT.finditer(text)]
        scripts.add([name for name in found if name and not apart(name)])
    # A build that wrote some of the pages anew finds the others as it left them.
    sheets.names = [name for name in sheets.names if name != "book.css"]
    scripts.names = [name for name in scripts.names if name not in ("book.js", SETTINGS)]
    if not sheets.names:
        return
    # Also where no page that was written anew has one; before our own, which may overrule them.
    ours = {path.name for path in (Path(app.srcdir) / "_static").glob("*.css")}
    first = next(at for at, name in enumerate(sheets.names) if name in ours)
    for path in sorted((out / "_static" / "explorables").glob("*.css")):
        if (name := f"explorables/{path.name}") not in sheets.names:
            sheets.names.insert(first, name)
    code = "".join(f";/* {name} */\n{text}\n" for name, text in scripts.texts())
    others = chain((out / "_static").glob("*.js"), (out / "_static").glob("explorables/*.js"))
    used = "".join([*pages.values(), code, *map(read, others)])
    style = "".join(sheet(name, out / "_static", used) for name in sheets.names)
    style_address = sheets.write("book.css", style)
    code_address = scripts.write("book.js", code)
    settings = read(out / "_static" / SETTINGS).strip()
    for path, text in pages.items():
        whole = joined(text, style_address, code_address, settings)
        whole = IMAGE.sub(lambda tag: sized(tag[0], out), whole)
        if whole != text:
            path.write_text(whole, encoding="utf-8")


def read(path: Path) -> str:
    """Content of a text file."""
    return path.read_text(encoding="utf-8")


def sheet_of(tag: str) -> str | None:
    """The name of the style sheet that a tag asks for."""
    return local(HREF.search(tag)["href"])


def apart(name: str) -> bool:
    """Whether a script is for some pages only."""
    return bool(APART.search(name) or SEARCH.search(name))


def joined(text: str, style: str, code: str, settings: str) -> str:
    """Ask for the joined files where the first of each kind stood."""
    links = f'    <link rel="stylesheet" href="{style}" />\n'
    last = [code]
    done = False

    def replace_sheet(tag: re.Match[str]) -> str:
        nonlocal done
        if not sheet_of(tag[0]):
            return tag[0]
        first, done = not done, True
        return links if first else ""

    def replace_script(tag: re.Match[str]) -> str:
        name = local(tag["src"])
        if SEARCH.search(tag["src"].partition("?")[0]):
            last.append(tag["src"])  # needs what is in the joined script
            return ""
        if name == SETTINGS:
            return f"    <script>{settings}</script>\n"
        if name and "design-tabs" in name and "sd-tab-" not in text:
            return ""
        return tag[0] if not name or apart(name) else ""

    text = SHEET.sub(replace_sheet, text)
    text = SCRIPT.sub(replace_script, text)
    # After the explorables' scripts, which stand first.
    tags = "".join(f'\n    <script defer src="{source}"></script>' for source in last)
    return re.sub(r"\s*</head>", lambda _: f"{tags}\n  </head>", text, count=1)


# --- style sheets ---------------------------------------------------------------------------------


def sheet(name: str, static: Path, used: str) -> str:
    """One style sheet without what no page needs, with addresses as seen from ``_static``."""
    folder = PurePosixPath(name).parent
    text = re.sub(
        r"url\((['\"]?)(?!data:|#|https?:)([^)'\"]+)\1\)",
        lambda found: f'url("{normpath(folder / found[2])}")',
        read(static / name),
    )
    parts = [f"/* {name} */\n"]
    for rule in tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True):
        if isinstance(rule, AtRule) and rule.lower_at_keyword == "import":
            (named,) = [token for token in rule.prelude if token.type in ("string", "url")]
            address = named.value if named.type == "url" else normpath(folder / named.value)
            parts.append(sheet(address, static, used))
        else:
            parts.append(rule_text(rule, used))
    return "".join(parts)


def rule_text(rule: Node, used: str) -> str:
    """A rule as text, and again for those whose scheme is their system's."""
    if isinstance(rule, QualifiedRule):
        selectors = [one for one in selectors_of(rule) if needed(one, used)]
        if not selectors:
            return ""
        body = tinycss2.serialize(rule.content).strip()
        text = f"{','.join(selectors)}{{{body}}}\n"
        for scheme in SCHEMES:
            if same := [unscripted(one, scheme) for one in selectors if scheme_of(one) == scheme]:
                media = f"(prefers-color-scheme: {scheme})"
                text += f"@media {media}{{{','.join(same)}{{{body}}}}}\n"
        return text
    if isinstance(rule, AtRule) and rule.lower_at_keyword in ("media", "supports", "container"):
        inner = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
        if not (texts := "".join(rule_text(one, used) for one in inner)):
            return ""
        return f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{texts}}}\n"
    text = tinycss2.serialize([rule])
    if isinstance(rule, AtRule) and rule.lower_at_keyword == "font-face":
        return "" if "vendor/fontawesome" in text else text + "\n"
    return text + "\n" if isinstance(rule, AtRule) else ""


def selectors_of(rule: QualifiedRule) -> list[str]:
    """The selectors of a rule, split at the commas that are not within brackets."""
    parts: list[list[Node]] = [[]]
    for token in rule.prelude:
        if token.type == "literal" and token.value == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return [tinycss2.serialize(part).strip() for part in parts]


def needed(selector: str, used: str) -> bool:
    """Whether each class that a selector requires is named on a page or in a script."""
    required = re.sub(r":(?:not|is|where|has)\([^()]*(?:\([^()]*\)[^()]*)*\)", "", selector)
    return all(is_named(name, used) for name in CLASS.findall(required))


seen: dict[str, bool] = {}


def is_named(name: str, used: str) -> bool:
    """Whether a name occurs."""
    if name not in seen:
        seen[name] = name in used
    return seen[name]


def scheme_of(selector: str) -> str | None:
    """The scheme that a selector is for."""
    found = re.search(r"data-theme=[\"']?(\w+)", selector)
    return found[1] if found else None


def unscripted(selector: str, scheme: str) -> str:
    """The same selector for a page whose scripts have not run."""
    return re.sub(rf"data-theme=([\"']?){scheme}\1", 'data-theme="auto"', selector)


# --- pictures -------------------------------------------------------------------------------------


def sized(tag: str, out: Path) -> str:
    """Write the size of a picture into its tag."""
    source = re.search(r'src="([^"]*)"', tag)
    path = out / unquote(source[1]) if source else out
    if not path.is_file() or not (size := size_of(path)):
        return tag
    return tag.replace("<img", f'<img width="{size[0]}" height="{size[1]}"', 1)


def size_of(path: Path) -> tuple[int, int] | None:
    """Width and height of a PNG or an SVG, in pixels."""
    if path.suffix == ".png":
        head = path.open("rb").read(24)
        return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    if path.suffix == ".svg":
        root = ElementTree.parse(path).getroot()
        sides = [re.fullmatch(r"([\d.]+)(pt|px)?", root.get(side, "")) for side in SIDES]
        if all(sides):
            found = [float(side[1]) * (4 / 3 if side[2] == "pt" else 1) for side in sides if side]
        else:
            found = [float(number) for number in re.split(r"[\s,]+", root.get("viewBox", ""))[2:]]
        return (round(found[0]), round(found[1])) if len(found) == 2 else None
    return None


SIDES = ("width", "height")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension, after everything else that looks at finished pages."""
    app.connect("build-finished", bundle, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
