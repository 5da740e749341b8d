// A formula inside a line cannot break. Where one is wider than the page, let it scroll by itself.
(function () {
  "use strict";

  function fit() {
    document.querySelectorAll('mjx-container:not([display="true"])').forEach(function (formula) {
      formula.classList.remove("wide");
      var room = formula.parentElement.getBoundingClientRect().width;
      formula.classList.toggle("wide", formula.getBoundingClientRect().width > room);
    });
  }

  window.addEventListener("load", function () {
    if (window.MathJax && window.MathJax.startup) {
      window.MathJax.startup.promise.then(fit);
      window.addEventListener("resize", fit);
    }
  });
})();
