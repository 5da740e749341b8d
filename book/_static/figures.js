// A click on a figure, or Enter on the link in its corner, shows the whole in a dialog. Escape closes
// it. Without this script the link leads to the file.
(function () {
  "use strict";
  let dialog = null;

  function make() {
    dialog = document.createElement("dialog");
    dialog.className = "chart-dialog";
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close(); // beside it
    });
    document.body.append(dialog);
  }

  function show(chart) {
    if (!dialog) make();
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = "Close";
    close.addEventListener("click", () => dialog.close());
    const figure = document.createElement("div");
    figure.className = "chart";
    figure.tabIndex = 0; // it may have to scroll
    // The wide drawing, and the one for narrow windows, larger than on the page: the window decides.
    chart.querySelectorAll(":scope > svg").forEach((shown) => {
      const drawing = shown.cloneNode(true);
      // A second copy on the page: the ids in it must be others.
      drawing.innerHTML = drawing.innerHTML
        .replace(/ id="/g, ' id="whole-')
        .replace(/url\(#/g, "url(#whole-")
        .replace(/href="#/g, 'href="#whole-');
      figure.append(drawing);
    });
    const note = chart.querySelector(".chart-note");
    if (note) figure.append(note.cloneNode(true));
    dialog.replaceChildren(close, figure);
    const caption = chart.closest("figure")?.querySelector("figcaption");
    if (caption) {
      const text = document.createElement("div");
      text.className = "chart-caption";
      text.innerHTML = caption.innerHTML;
      text.querySelectorAll("a.headerlink").forEach((link) => link.remove());
      text.querySelectorAll("[id]").forEach((element) => element.removeAttribute("id"));
      dialog.append(text);
    }
    dialog.setAttribute(
      "aria-label",
      caption?.querySelector(".caption-number")?.textContent.trim() || "Figure",
    );
    dialog.showModal();
    window.dispatchEvent(new Event("resize")); // where it scrolls, its edge shows that (everybody.js)
  }

  document.addEventListener("click", (event) => {
    const chart = event.target.closest(".bd-article .chart");
    const other = event.button || event.ctrlKey || event.metaKey || event.shiftKey;
    if (!chart || other || String(getSelection())) return;
    event.preventDefault();
    show(chart);
  });

  function mark() {
    document.querySelectorAll(".bd-article .chart").forEach((chart) => chart.classList.add("opens"));
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mark);
  else mark();
})();
