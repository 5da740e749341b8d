// What is wider than its column scrolls by itself. Here it also gets into reach of the keyboard. And
// what a style sheet alone cannot do: numbers that stay whole in tables, and a page fit for paper.
(function () {
  "use strict";

  var SCROLL =
    ".pst-scrollable-table-container, .table-wrapper, .cell_output .text_html, " +
    ".cell_output .text_markdown, .highlight pre, .cell_output pre, div.math, mjx-container[display], .formula.wide, figure";

  function reach() {
    document.querySelectorAll(".bd-article").forEach(function (article) {
      article.querySelectorAll(SCROLL).forEach(function (part) {
        var scrolls =
          part.scrollWidth > part.clientWidth && getComputedStyle(part).overflowX !== "visible";
        if (scrolls) part.tabIndex = 0;
        else part.removeAttribute("tabindex");
      });
    });
  }

  // Numbers and verdicts in a table stay on one line; a browser would break -8.79e-05 at its signs.
  function numbers() {
    var number = "[-+−]?[\\d.]+(e[-+]?\\d+)?";
    var whole = new RegExp("^(" + number + "( " + number + ")*|[✓✗] \\w+)$");
    document.querySelectorAll(".bd-article td").forEach(function (cell) {
      if (whole.test(cell.textContent.trim())) cell.classList.add("number");
    });
  }

  // Paper is white, and a solution that is folded there cannot be unfolded.
  var paper = window.matchMedia("print");
  var onScreen = null; // how the page looked before it was printed

  function print() {
    var root = document.documentElement;
    if (paper.matches && !onScreen) {
      var folded = document.querySelectorAll('[class*="tag_hide-"] details:not([open])');
      onScreen = { theme: root.dataset.theme, folded: folded };
      root.dataset.theme = "light";
    } else if (!paper.matches && onScreen) {
      root.dataset.theme = onScreen.theme;
    } else {
      return;
    }
    onScreen.folded.forEach(function (details) {
      details.open = paper.matches;
    });
    if (!paper.matches) onScreen = null;
  }

  paper.addEventListener("change", print);

  window.addEventListener("load", function () {
    numbers();
    reach();
    window.addEventListener("resize", reach);
  });
})();
