// For everybody: the list of contents marks the section that is being read, and what scrolls sideways
// shows that there is more.
(function () {
  "use strict";

  // --- you are here ----------------------------------------------------------------------------------

  function follow(nav) {
    var links = Array.from(nav.querySelectorAll('a[href^="#"]'));
    var sections = links.map(function (link) {
      var part = document.getElementById(decodeURIComponent(link.hash.slice(1)));
      return part && part.tagName === "DT" ? part.parentElement : part;
    });
    var chosen = -1; // a link that was followed: its section may be too near the end to get to the top

    function reading() {
      var root = document.documentElement;
      var bar = document.querySelector(".bd-header-article");
      var under = bar ? bar.getBoundingClientRect().bottom : 0;
      var top = under + 75;
      // Over the last screen the line that counts moves down, so that the last sections have their turn.
      var left = root.scrollHeight - root.scrollTop - window.innerHeight;
      var line = top + Math.max(0, 1 - left / window.innerHeight) * (window.innerHeight - top);
      var found = -1;
      sections.forEach(function (section, i) {
        if (section && section.getBoundingClientRect().top <= line) found = i;
      });
      // What is above the bar has been read.
      while (found >= 0 && found + 1 < sections.length && sections[found].getBoundingClientRect().bottom < under + 10)
        found++;
      return found;
    }

    function mark() {
      var now = chosen < 0 ? reading() : chosen;
      links.forEach(function (link, i) {
        link.classList.toggle("active", i === now);
        if (i === now) link.setAttribute("aria-current", "location");
        else link.removeAttribute("aria-current");
      });
      if (now >= 0) reveal(links[now]);
    }

    function reveal(link) {
      var bar = nav.closest(".bd-sidebar-secondary");
      if (!bar) return;
      var box = bar.getBoundingClientRect();
      var at = link.getBoundingClientRect();
      if (at.bottom > box.bottom) bar.scrollTop += at.bottom - box.bottom + 40;
      else if (at.top < box.top) bar.scrollTop -= box.top - at.top + 40;
    }

    var asked = false;
    function soon() {
      if (asked) return;
      asked = true;
      requestAnimationFrame(function () {
        asked = false;
        mark();
      });
    }

    nav.addEventListener("click", function (event) {
      chosen = links.indexOf(event.target.closest("a"));
      soon();
    });
    ["wheel", "touchmove", "keydown", "pointerdown"].forEach(function (kind) {
      window.addEventListener(kind, function (event) {
        if (!nav.contains(event.target)) chosen = -1;
      }, { passive: true });
    });
    window.addEventListener("scroll", soon, { passive: true });
    window.addEventListener("resize", soon);
    mark();
  }

  // --- there is more ---------------------------------------------------------------------------------

  var SIDEWAYS =
    ".pst-scrollable-table-container, .table-wrapper, .text_html, .text_markdown, pre, div.math, " +
    "mjx-container, math, figure, .chart-dialog > .chart";

  function edges(part) {
    var most = part.scrollWidth - part.clientWidth;
    var scrolls = most > 1 && /auto|scroll/.test(getComputedStyle(part).overflowX);
    var more = [];
    if (scrolls && part.scrollLeft > 1) more.push("before");
    if (scrolls && part.scrollLeft < most - 1) more.push("after");
    if (more.length) part.dataset.more = more.join(" ");
    else delete part.dataset.more;
  }

  function look() {
    document.querySelectorAll(".bd-article, .chart-dialog").forEach(function (article) {
      article.querySelectorAll(SIDEWAYS).forEach(edges);
    });
  }

  document.addEventListener("scroll", function (event) {
    if (event.target.matches && event.target.matches(SIDEWAYS)) edges(event.target);
  }, { passive: true, capture: true });
  document.addEventListener("toggle", look, true);
  window.addEventListener("resize", look);

  document.addEventListener("DOMContentLoaded", function () {
    var nav = document.getElementById("page-contents");
    if (nav) follow(nav);
    // Pictures, fonts and formulas change what fits.
    var article = document.querySelector(".bd-article");
    if (article) new ResizeObserver(look).observe(article);
    look();
  });
  window.addEventListener("load", look);
})();
