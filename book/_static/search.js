// The search. The field of the theme shows hits while one types; each is a section, and on its page
// the words are marked. What is searched is in search-data.js (book/_ext/search.py), which is loaded
// when a reader begins to search. Works from disk.
(function () {
  "use strict";

  // --- words ---------------------------------------------------------------------------------------

  var GREEK = { beta: "β", delta: "δ", epsilon: "ε", eta: "η", lambda: "λ", mu: "μ", sigma: "σ" };

  function fold(text) {
    return text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
  }

  // A word matches what begins with its stem: collapse, collapsed, collapsing.
  function stem(word) {
    var short = word.replace(/(ies|ing|ed|es|e|s|y)$/, "");
    return short.length > 3 ? short : word;
  }

  function words(query) {
    return fold(query).match(/[\p{L}\p{N}_²]+/gu) || [];
  }

  function pattern(word) {
    var letter = GREEK[word] ? "|" + GREEK[word] : "";
    return new RegExp("(?<![\\p{L}\\p{N}_])(?:" + stem(word) + letter + ")[\\p{L}\\p{N}_²]*", "giu");
  }

  function stems(text) {
    return words(text).map(stem).join(" ");
  }

  // --- hits ----------------------------------------------------------------------------------------

  var pages = null; // once search-data.js is there
  var waiting = null;

  window.bookSearch = function (data) {
    pages = data.map(function (page) {
      var chapter = /^\d/.test(page[1][0][1]);
      return {
        file: page[0],
        title: page[1][0][1],
        weight: chapter ? 1 : 0.8,
        sections: page[1].map(function (s) {
          return { id: s[0], title: s[1], text: s[2], code: s[3], introduces: s[4].map(stems) };
        }),
      };
    });
  };

  function load() {
    if (!waiting) {
      waiting = new Promise(function (resolve, reject) {
        var script = document.createElement("script");
        script.src = root() + "_static/search-data.js";
        script.onload = resolve;
        script.onerror = reject;
        document.head.append(script);
      });
    }
    return waiting;
  }

  function root() {
    return document.documentElement.dataset.content_root || "./";
  }

  function count(text, regex) {
    return (text.match(regex) || []).length;
  }

  function score(page, section, terms, phrase) {
    var sum = 0;
    var title = fold(section.title);
    var text = section.text;
    for (var i = 0; i < terms.length; i++) {
      var inTitle = count(title, terms[i]);
      var inText = count(text, terms[i]);
      var inCode = count(section.code, terms[i]);
      var inPage = count(fold(page.title), terms[i]);
      if (!inTitle && !inText && !inCode && !inPage) return 0;
      if (!inTitle && !inText && !inCode && terms.length === 1 && section !== page.sections[0]) return 0;
      sum +=
        8 * Math.min(inTitle, 1) +
        (3 * Math.log2(1 + inText)) / (1 + text.length / 3000) +
        Math.min(inCode, 1) +
        2 * Math.min(inPage, 1);
    }
    if (terms.length > 1) {
      if (stems(title).includes(phrase)) sum += 8;
      if (stems(text).includes(phrase)) sum += 6 / (1 + text.length / 3000);
    }
    if (stems(title).replace(/^[\d\s]+/, "") === phrase) sum += 15;
    if (section.introduces.includes(phrase)) sum += 26;
    return sum * page.weight;
  }

  function find(query) {
    var all = words(query);
    var terms = all.map(pattern);
    var hits = [];
    if (!terms.length) return hits;
    pages.forEach(function (page) {
      page.sections.forEach(function (section) {
        var points = score(page, section, terms, all.map(stem).join(" "));
        if (points) hits.push({ page: page, section: section, points: points });
      });
    });
    return hits.sort(function (a, b) {
      return b.points - a.points; // equal ones stay in the order of the book
    });
  }

  function address(hit, query) {
    return root() + hit.page.file + "?highlight=" + encodeURIComponent(query) + "#" + hit.section.id;
  }

  // Some 160 letters about where most of the words stand close together.
  function snippet(text, terms) {
    var best = 0;
    var most = 0;
    var places = [];
    terms.forEach(function (term, number) {
      for (var found of text.matchAll(term)) places.push([found.index, number]);
    });
    places.forEach(function (place) {
      var near = places.filter(function (other) {
        return other[0] >= place[0] && other[0] < place[0] + 120;
      });
      var different = new Set(near.map((other) => other[1])).size;
      if (different > most) {
        most = different;
        best = place[0];
      }
    });
    var start = best < 50 ? 0 : text.indexOf(" ", best - 40) + 1;
    var end = start + 160 < text.length ? text.lastIndexOf(" ", start + 160) : text.length;
    return (start ? "… " : "") + text.slice(start, end) + (end < text.length ? " …" : "");
  }

  function marked(element, text, terms) {
    var at = 0;
    spans(text, terms).forEach(function (span) {
      var mark = document.createElement("mark");
      mark.textContent = text.slice(span[0], span[1]);
      element.append(text.slice(at, span[0]), mark);
      at = span[1];
    });
    element.append(text.slice(at));
  }

  function spans(text, terms) {
    var found = [];
    terms.forEach(function (term) {
      for (var match of text.matchAll(term)) found.push([match.index, match.index + match[0].length]);
    });
    found.sort((a, b) => a[0] - b[0]);
    return found.filter((span, i) => !i || span[0] >= found[i - 1][1]);
  }

  // --- the list ------------------------------------------------------------------------------------

  function list(form, most) {
    var status = document.createElement("p");
    status.className = "search-status";
    status.setAttribute("role", "status");
    var hits = document.createElement("ol");
    hits.className = "search-hits";
    form.after(status, hits);
    var input = form.querySelector("input");
    var asked = 0;

    function show() {
      var query = input.value.trim();
      var now = ++asked;
      if (!query) {
        status.textContent = "";
        hits.replaceChildren();
        return;
      }
      load().then(
        function () {
          if (now === asked) fill(query);
        },
        function () {
          status.textContent = "The search could not be loaded.";
        }
      );
    }

    function fill(query) {
      var found = find(query);
      var terms = words(query).map(pattern);
      var shown = found.slice(0, most);
      status.textContent = found.length
        ? found.length + (found.length === 1 ? " section" : " sections") +
          (shown.length < found.length ? ", the first " + shown.length + " here" : "")
        : "Nothing has all these words.";
      hits.replaceChildren.apply(hits, shown.map(function (hit) {
        var item = document.createElement("li");
        var link = document.createElement("a");
        link.href = address(hit, query);
        if (hit.section !== hit.page.sections[0]) {
          var page = document.createElement("span");
          page.className = "search-page";
          page.textContent = hit.page.title;
          link.append(page);
        }
        var title = document.createElement("span");
        title.className = "search-title";
        marked(title, hit.section.title, terms);
        link.append(title);
        var text = document.createElement("p");
        marked(text, snippet(hit.section.text, terms), terms);
        item.append(link, text);
        return item;
      }));
    }

    input.addEventListener("input", show);
    input.addEventListener("focus", load, { once: true });
    form.parentElement.addEventListener("keydown", function (event) {
      var step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      var stops = [input].concat(Array.from(hits.querySelectorAll("a")));
      var here = stops.indexOf(document.activeElement);
      if (here < 0) return;
      event.preventDefault();
      stops[Math.max(0, Math.min(stops.length - 1, here + step))].focus();
    });
    return show;
  }

  // --- marks on the page that a hit leads to ---------------------------------------------------------

  function mark(query) {
    var article = document.querySelector(".bd-article");
    var terms = words(query).map(pattern);
    if (!article || !terms.length || !window.CSS || !CSS.highlights) return;
    var ranges = [];
    var walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT, function (node) {
      var hidden = node.parentElement.closest("script, style, svg, math, mjx-container, .headerlink");
      return hidden ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT;
    });
    while (walker.nextNode()) {
      spans(walker.currentNode.data, terms).forEach(function (span) {
        var range = new Range();
        range.setStart(walker.currentNode, span[0]);
        range.setEnd(walker.currentNode, span[1]);
        ranges.push(range);
      });
    }
    if (!ranges.length) return;
    CSS.highlights.set("search-hit", new Highlight(...ranges));
    bar(query, ranges);
  }

  function bar(query, ranges) {
    var target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    var at = ranges.findIndex(function (range) {
      return target && (target.contains(range.startContainer) ||
        target.compareDocumentPosition(range.startContainer) & Node.DOCUMENT_POSITION_FOLLOWING);
    }) - 1;
    var box = document.createElement("div");
    box.className = "search-bar";
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "Words found");
    var says = document.createElement("span");
    says.setAttribute("role", "status");
    says.textContent = "“" + query + "”: " + ranges.length + (ranges.length === 1 ? " place" : " places");

    function go(step) {
      at = (at + step + ranges.length) % ranges.length;
      var range = ranges[at];
      var element = range.startContainer.parentElement;
      for (var fold = element.closest("details:not([open])"); fold; ) {
        fold.open = true;
        fold = fold.parentElement.closest("details:not([open])");
      }
      CSS.highlights.set("search-hit-now", new Highlight(range));
      element.scrollIntoView({ block: "center" });
      says.textContent = at + 1 + " of " + ranges.length;
    }

    function clear() {
      CSS.highlights.clear();
      box.remove();
      document.removeEventListener("keydown", escape);
      var place = new URL(location.href);
      place.searchParams.delete("highlight");
      history.replaceState(null, "", place);
    }

    function escape(event) {
      if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector("dialog[open]")) clear();
    }

    function button(text, label, act) {
      var result = document.createElement("button");
      result.type = "button";
      result.textContent = text;
      if (label) result.setAttribute("aria-label", label);
      result.addEventListener("click", act);
      return result;
    }

    box.append(
      says,
      button("↑", "Previous place", () => go(-1)),
      button("↓", "Next place", () => go(1)),
      button("Clear", "", clear)
    );
    document.addEventListener("keydown", escape);
    document.querySelector("main").append(box);
  }

  // ---------------------------------------------------------------------------------------------------

  document.addEventListener("DOMContentLoaded", function () {
    var shown = [];
    document.querySelectorAll("form.bd-search").forEach(function (form) {
      shown.push(list(form, form.closest("dialog") ? 12 : 100));
    });
    var asked = new URLSearchParams(location.search);
    var field = document.querySelector(".search-page form.bd-search input");
    if (field) {
      field.value = asked.get("q") || "";
      field.focus();
      shown.forEach((show) => show());
    } else if (asked.get("highlight")) {
      mark(asked.get("highlight"));
    }
  });
})();
