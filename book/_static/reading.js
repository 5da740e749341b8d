// Read / Check, and guesses. The switch's state is on <html data-reading> before the page is painted:
// a few lines in the head of each page see to that (book/_ext/folds.py), and open the folds as they
// come in.
(function () {
  "use strict";

  // A page from disk, or a private window, may have no memory.
  function remember(key, value) {
    try {
      localStorage.setItem(key, value);
    } catch (error) {
      return; // it is asked again next time
    }
  }

  function recall(key) {
    try {
      return localStorage.getItem(key);
    } catch (error) {
      return null;
    }
  }

  // --- guesses ---------------------------------------------------------------------------------

  function toNumber(text) {
    var plain = text.trim().replace("−", "-").replace(/,(?=\d{3}\b)/g, "").replace(",", ".");
    return plain === "" ? NaN : Number(plain);
  }

  // As many decimals as the answer has, so that 0.3 - 0.1 is 0.2.
  function written(number, like) {
    var decimals = (like.split(".")[1] || "").length;
    return String(Number(number.toFixed(decimals + 2))).replace("-", "−");
  }

  function element(name, className, text) {
    var made = document.createElement(name);
    if (className) made.className = className;
    made.textContent = text;
    return made;
  }

  function compareNumber(form, result) {
    var data = form.dataset;
    var said = toNumber(form.querySelector("input").value);
    if (isNaN(said)) {
      result.replaceChildren(element("p", "", "Type a number first."));
      return false;
    }
    var answer = toNumber(data.answer);
    var off = Math.abs(said - answer);
    var unit = data.unit ? " " + data.unit : "";
    var sides = /s\b/.test(unit) ? ["few", "many"] : ["low", "high"];
    if (answer === 1) unit = unit.replace(/s\b/, "");
    var by = off ? written(off, data.answer) + " too " + sides[Number(said > answer)] + "." : "Exactly.";
    var words =
      "You guessed " + written(said, data.answer) + "; it is " + data.answer.replace("-", "−") + unit + ". " + by;
    result.replaceChildren(element("p", "", words));
    if (data.low && data.high) result.append(scale(said, answer, toNumber(data.low), toNumber(data.high), data));
    return true;
  }

  // The words above say the same; this is for the eye.
  function scale(said, answer, low, high, data) {
    var line = element("div", "guess-scale", "");
    line.setAttribute("aria-hidden", "true");
    [["is-guess", said, "your guess"], ["is-answer", answer, data.answer.replace("-", "−")]].forEach(function (mark) {
      var share = Math.min(1, Math.max(0, (mark[1] - low) / (high - low)));
      line.append(element("span", mark[0], mark[2]));
      line.lastChild.style.left = 100 * share + "%";
    });
    return line;
  }

  function compareChoice(form, result) {
    var picked = form.querySelector("input:checked");
    if (!picked) {
      result.replaceChildren(element("p", "", "Pick one first."));
      return false;
    }
    var right = form.querySelector("[data-right]");
    right.classList.add("is-right");
    var words = right.contains(picked) ? "That is right." : "Not this one: the right one is marked.";
    result.replaceChildren(element("p", "", words));
    return true;
  }

  function guesses() {
    document.querySelectorAll("form.guess").forEach(function (form) {
      var key = "guess:" + location.pathname.split("/").pop() + "#" + form.id;
      var result = form.querySelector(".guess-result");
      var isNumber = form.dataset.guess === "number";
      var inputs = Array.from(form.querySelectorAll("input"));

      function compare() {
        if (!(isNumber ? compareNumber : compareChoice)(form, result)) return false;
        form.querySelector("details").open = true;
        return true;
      }

      form.addEventListener("submit", function (event) {
        event.preventDefault();
        if (!compare()) return;
        remember(key, isNumber ? inputs[0].value : inputs.findIndex(function (i) { return i.checked; }));
      });

      var before = recall(key);
      if (before === null) return;
      if (isNumber) inputs[0].value = before;
      else if (inputs[before]) inputs[before].checked = true;
      compare();
    });
  }

  // --- Read / Check ----------------------------------------------------------------------------

  var root = document.documentElement;
  var FOLDS = 'details[data-fold]:not([data-fold="guess"])';

  // The first line of text that the reader sees whole stays where it is, whatever opens above it.
  function keepPlace(change) {
    var parts = Array.from(document.querySelectorAll(".bd-article :is(p, li, h1, h2, h3):not(details *)"));
    var seen = parts.find(function (part) {
      return part.checkVisibility() && part.getBoundingClientRect().top > 60;
    });
    var before = seen && seen.getBoundingClientRect().top;
    change();
    if (!seen || window.scrollY === 0) return;
    window.scrollBy({ top: seen.getBoundingClientRect().top - before, behavior: "instant" });
  }

  function show(reading) {
    root.dataset.reading = reading;
    document.querySelectorAll(FOLDS).forEach(function (fold) {
      fold.open = reading === "check";
    });
    press();
  }

  function press() {
    document.querySelectorAll("[data-set-reading]").forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.setReading === root.dataset.reading));
    });
  }

  function readOrCheck() {
    press();
    document.querySelectorAll("[data-set-reading]").forEach(function (button) {
      button.addEventListener("click", function () {
        var reading = button.dataset.setReading;
        keepPlace(function () {
          show(reading);
        });
        remember("reading", reading);
      });
    });
  }

  // What is wider than its column is found anew, as when the window changes (wide.js): what was folded
  // had no width.
  function fitAgain() {
    var waits = false;
    document.addEventListener(
      "toggle",
      function (event) {
        if (waits || event.target.nodeName !== "DETAILS") return; // what pops up toggles, too
        waits = true;
        requestAnimationFrame(function () {
          waits = false;
          window.dispatchEvent(new Event("resize"));
        });
      },
      true,
    );
  }

  // A link may lead into a fold.
  function openTarget() {
    var target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    var fold = target && target.parentElement && target.parentElement.closest("details");
    if (!fold) return;
    for (; fold; fold = fold.parentElement.closest("details")) fold.open = true;
    target.scrollIntoView();
  }

  function start() {
    guesses();
    readOrCheck();
    fitAgain();
    openTarget();
    window.addEventListener("hashchange", openTarget);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
