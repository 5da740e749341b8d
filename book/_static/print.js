// A page goes to paper whole and light: whatever is folded is opened before it is counted how many
// sheets it takes, and folded again afterwards.
(function () {
  "use strict";

  var root = document.documentElement;
  var before = null; // how the page looked on the screen

  // Pictures further down wait until everything else is there; on paper they may not be missing.
  addEventListener("load", function () {
    document.querySelectorAll("img[loading=lazy]").forEach(function (picture) {
      picture.loading = "eager";
    });
  });

  addEventListener("beforeprint", function () {
    if (before) return;
    before = {
      theme: root.dataset.theme,
      folded: document.querySelectorAll(".bd-article details:not([open])"),
    };
    before.folded.forEach(function (details) {
      details.open = true;
    });
    root.dataset.theme = "light";
  });

  addEventListener("afterprint", function () {
    if (!before) return;
    before.folded.forEach(function (details) {
      details.open = false;
    });
    root.dataset.theme = before.theme;
    before = null;
  });
})();
