"""What the theme writes into each page and nobody needs, taken out; what it leaves undone, done.

One heading of the first rank and one viewport; the side bar is a landmark; the scheme, light or
dark, is known before anything is drawn; what readers can move is loaded before everything else; and
on paper each page says its title.
"""

import re
from html import unescape

from sphinx.application import Sphinx

# What to replace, by what, and how often it is there.
REPLACED = [
    (r'<div id="jb-print-docs-body".*?(?=<div id="searchbox">)', ""),  # a second title, for paper
    (r'<div id="ethical-ad-placement".*?</div>', ""),
    (r"<script>kernelName = .*?</script>", ""),
    (r'<div id="pst-primary-sidebar"', r'\g<0> role="complementary" aria-label="The book"'),
    # Only the search page searches.
    (r'<script src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>\s*', ""),
    # Thousands of icons, of which the book has a dozen (_static/icons.css).
    (r'<script[^>]* src="[^"]*fontawesome\.js[^"]*"></script>\s*', ""),
    (r'<link rel="preload" as="script"[^>]*/>\s*', ""),
    # It prints; the book as one file is another thing.
    (r'title="Print to PDF"', 'title="Print this page"'),
    (r'(?<=<span class="btn__text-container">)\.pdf(?=</span>)', "Print"),
]
SCHEME = """<script>
    {
      const store = name => { try { return localStorage.getItem(name) } catch { return null } };
      const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      const root = document.documentElement.dataset;
      root.mode = store("mode") || "auto";
      root.theme = root.mode === "auto" ? dark : store("theme") || dark;
      // From disk a font cannot be asked for before it is used.
      if (location.protocol !== "file:") {
        const font = {rel: "preload", as: "font", crossOrigin: "", href: "%s"};
        document.head.append(Object.assign(document.createElement("link"), font));
      }
    }
  </script>
  <style>@page { @top-left { content: "%s" } }</style>"""
FONT = "_static/fonts/source-sans-3-latin-wght-normal.woff2"
TITLE = re.compile(r"<title>(.*?)(?: &#8212; .*?)?</title>")
VIEWPORT = re.compile(r'\s*<meta name="viewport"[^>]*>')
EXPLORABLE = re.compile(r'\s*<script defer="defer" (src="[^"]*/explorables/[^"]*")></script>')


def tidy(app: Sphinx, page: str, text: str) -> str:
    """Put one page right."""
    replaced = REPLACED if page != "search" else [r for r in REPLACED if "searchtools" not in r[0]]
    for pattern, by in replaced:
        text = re.sub(pattern, by, text, flags=re.DOTALL)
    title = unescape(TITLE.search(text)[1]).replace("\\", "").replace('"', "”").replace("<", "‹")
    head = SCHEME % (FONT, title)
    text = re.sub(
        r'<script data-cfasync="false">.*?</script>', lambda _: head, text, count=1, flags=re.S
    )
    # Pictures come after what can be moved, all but the first when they are near (see print.js).
    before, start, article = text.partition('<article class="bd-article"')
    article = article.replace("<img ", '<img fetchpriority="low" ')
    top, picture, rest = article.partition("<img ")
    rest = rest.replace("<img ", '<img loading="lazy" ')
    text = before + start + top + picture + rest
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1" />'
    text = VIEWPORT.sub("", text).replace(
        '<meta charset="utf-8" />', f'<meta charset="utf-8" />\n    {viewport}', 1
    )
    first = "".join(
        f'\n  <script defer fetchpriority="high" {source}></script>'
        for source in EXPLORABLE.findall(text)
    )
    return EXPLORABLE.sub("", text).replace("</title>", f"</title>{first}", 1)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.setup_extension("rendered")
    app.connect("page-rendered", tidy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
