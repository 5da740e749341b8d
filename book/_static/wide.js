// What is wider than its column scrolls by itself. Here it also gets into reach of the keyboard, and
// a formula inside a line, which cannot break, learns to scroll where it is wider than the page.
(function () {
  "use strict";

  var SCROLL =
    ".pst-scrollable-table-container, .table-wrapper, .cell_output .text_html, " +
    ".cell_output .text_markdown, .highlight pre, .cell_output pre, div.math, mjx-container, figure";

  function formulas() {
    document.querySelectorAll('mjx-container:not([display="true"])').forEach(function (formula) {
      formula.classList.remove("wide");
      var room = formula.parentElement.getBoundingClientRect().width;
      formula.classList.toggle("wide", formula.getBoundingClientRect().width > room);
    });
  }

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

  function fit() {
    formulas();
    reach();
  }

  window.addEventListener("load", function () {
    var typeset = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
    Promise.resolve(typeset).then(fit);
    window.addEventListener("resize", fit);
  });
})();
