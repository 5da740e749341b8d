// A term or a work shows itself where it is mentioned: under the pointer, on focus, on a tap. The link
// leads there as before. What is shown is in peek-data.js (book/_ext/peek.py), loaded when first needed.
(function () {
  "use strict";

  var LINKS = '.bd-article a[href*="#term-"], .bd-article a[href*="bibliography.html#"]';
  var texts = null;
  var waiting = null;
  var link = null; // the link whose card is shown, or will be
  var timer = 0;
  var touched = false;

  window.bookPeek = function (data) {
    texts = data;
  };

  function load() {
    if (!waiting) {
      waiting = new Promise(function (resolve) {
        var script = document.createElement("script");
        script.src = (document.documentElement.dataset.content_root || "./") + "_static/peek-data.js";
        script.onload = resolve;
        document.head.append(script);
      });
    }
    return waiting;
  }

  var card = document.createElement("span");
  card.id = "peek";
  card.className = "peek";
  card.setAttribute("role", "note");
  card.setAttribute("popover", "manual");

  function text(of) {
    return texts[new URL(of.href).pathname.split("/").pop() + of.hash];
  }

  function show(of) {
    link = of;
    load().then(function () {
      if (link !== of || !text(of)) return;
      card.innerHTML = text(of);
      var more = document.createElement("a");
      more.href = of.href;
      more.textContent = of.hash.startsWith("#term-") ? "In the glossary" : "In the bibliography";
      if (touched) card.append(more);
      of.after(card);
      of.setAttribute("aria-describedby", card.id);
      of.removeAttribute("title"); // the browser's own card
      if (card.showPopover) card.showPopover();
      place();
    });
  }

  function place() {
    if (!link) return;
    var lines = link.getClientRects();
    var at = lines[lines.length - 1];
    var size = card.getBoundingClientRect();
    var left = Math.max(8, Math.min(at.left, document.documentElement.clientWidth - size.width - 8));
    var below = at.bottom + 6;
    var fits = below + size.height < window.innerHeight - 8 || at.top < size.height + 14;
    card.style.left = left + "px";
    card.style.top = (fits ? below : lines[0].top - size.height - 6) + "px";
  }

  function hide() {
    clearTimeout(timer);
    if (!link) return;
    link.removeAttribute("aria-describedby");
    link = null;
    if (card.isConnected && card.hidePopover) card.hidePopover();
    card.remove();
  }

  function later(act, after) {
    clearTimeout(timer);
    timer = setTimeout(act, after);
  }

  function within(node) {
    return node && node.closest && (node.closest(".peek") || (link && node.closest("a") === link));
  }

  function found(node) {
    return node && node.closest ? node.closest(LINKS) : null;
  }

  document.addEventListener("pointerover", function (event) {
    if (event.pointerType === "touch") return;
    var of = found(event.target);
    if (within(event.target)) clearTimeout(timer);
    else if (of) {
      load();
      later(function () {
        hide();
        show(of);
      }, 200);
    } else if (link) later(hide, 300); // time to move into the card
    else clearTimeout(timer);
  });

  document.addEventListener("focusin", function (event) {
    if (within(event.target)) return;
    hide();
    var of = found(event.target);
    if (of && of.matches(":focus-visible")) show(of);
  });

  document.addEventListener("pointerdown", function (event) {
    touched = event.pointerType === "touch";
    if (!within(event.target)) hide();
  });

  // The first tap shows, the second leads there.
  document.addEventListener("click", function (event) {
    var of = found(event.target);
    if (!touched || !of || within(event.target)) return;
    event.preventDefault();
    hide();
    show(of);
  });

  document.addEventListener("keydown", function (event) {
    if (event.key !== "Escape" || !link) return;
    event.preventDefault(); // the marks of a search stay
    hide();
  });

  window.addEventListener("resize", hide);
  window.addEventListener("scroll", function () {
    if (link && card.isConnected) place();
  }, { passive: true, capture: true });
})();
