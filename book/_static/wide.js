// What is wider than its column scrolls by itself. Here it also gets into reach of the keyboard. And
// numbers stay whole in tables.
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
    var quartiles = " \\(" + number + "–" + number + "\\)";
    var whole = new RegExp("^(" + number + "( " + number + ")*(" + quartiles + ")?|[✓✗] \\w+)$");
    document.querySelectorAll(".bd-article td").forEach(function (cell) {
      if (whole.test(cell.textContent.trim())) cell.classList.add("number");
    });
  }

  window.addEventListener("load", function () {
    numbers();
    reach();
    window.addEventListener("resize", reach);
  });
})();
