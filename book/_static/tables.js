// The scoreboard (book/_ext/scoreboard.py): which claims are shown. The choice is in the address, as
// in #fails or #published+sparsity. Without one the rows of each chapter fold.
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", function () {
    var form = document.querySelector("form.board-choice");
    if (!form) return;
    var rows = document.querySelectorAll('.cell.tag_scoreboard tr[id^="verdict-"]');
    var folds = document.querySelectorAll('details[data-fold="claims"]');
    var buttons = form.querySelectorAll("button");
    var chapter = form.querySelector("select");
    var count = form.querySelector("output");

    function chosen() {
      var kinds = Array.from(buttons)
        .filter(function (button) { return button.getAttribute("aria-pressed") === "true"; })
        .map(function (button) { return button.value; });
      return chapter.value ? kinds.concat(chapter.value) : kinds;
    }

    function show() {
      var kinds = chosen();
      var shown = 0;
      rows.forEach(function (row) {
        row.hidden = !kinds.every(function (kind) { return row.classList.contains(kind); });
        shown += !row.hidden;
      });
      folds.forEach(function (fold) {
        fold.hidden = !fold.querySelector('tr[id^="verdict-"]:not([hidden])');
        fold.open = kinds.length > 0 || fold.querySelector(":target") !== null ||
          document.documentElement.dataset.reading === "check";
      });
      count.textContent = kinds.length ? shown + " of " + rows.length : rows.length + " in all";
    }

    // A choice that is in the address; what is something else there, a row say, shows all.
    function read() {
      var words = decodeURIComponent(location.hash.slice(1)).split("+");
      buttons.forEach(function (button) {
        button.setAttribute("aria-pressed", words.indexOf(button.value) >= 0);
      });
      chapter.value = "";
      Array.from(chapter.options).forEach(function (option) {
        if (option.value && words.indexOf(option.value.slice(3)) >= 0) chapter.value = option.value;
      });
      show();
      var target = document.getElementById(words.join("+"));
      if (target && target.closest(".cell.tag_scoreboard")) target.scrollIntoView();
    }

    function write() {
      var words = chosen().map(function (kind) { return kind.replace(/^in-/, ""); });
      history.replaceState(null, "", words.length ? "#" + words.join("+") : location.pathname);
      show();
    }

    buttons.forEach(function (button) {
      button.addEventListener("click", function () {
        button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
        write();
      });
    });
    chapter.addEventListener("change", write);
    form.addEventListener("submit", function (event) { event.preventDefault(); });
    window.addEventListener("hashchange", read);
    // Read folds all there is; what was chosen stays open.
    document.querySelectorAll("[data-set-reading]").forEach(function (button) {
      button.addEventListener("click", function () { requestAnimationFrame(show); });
    });
    form.hidden = false;
    read();
  });
})();
