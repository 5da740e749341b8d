// What the explorables share. Classic scripts, one global name: a page opened from disk may load
// neither modules nor data by fetch, so each file of data is a script that calls `provide`.
var Explorables = (function () {
  "use strict";

  var folder = document.currentScript.src.replace(/[^/]*$/, "");
  var provided = {};
  var asked = {};
  var builders = {};

  // Data of an explorable; its script comes next and calls `register`.
  function provide(name, data) {
    provided[name] = data;
  }

  // Data that a page does not come with: a promise of them.
  function fetchData(name) {
    return fetchScript(name + ".data.js").then(function () {
      return provided[name];
    });
  }

  function fetchScript(file) {
    asked[file] =
      asked[file] ||
      new Promise(function (resolve, reject) {
        var script = html("script", {
          src: folder + file,
          load: resolve,
          error: function () {
            delete asked[file]; // perhaps the network comes back
            script.remove();
            reject(new Error("could not load " + file));
          },
        });
        document.head.append(script);
      });
    return asked[file];
  }

  // Bring every section of this name on the page to life. Where that fails, the static figure stays.
  // `build(stage, data, remember)` fills the stage and returns the handle through which it can be
  // driven; it calls `remember` when the reader has changed something that the address should hold.
  function register(name, build) {
    builders[name] = build;
    document.querySelectorAll('section[data-explorable="' + name + '"]').forEach(function (section) {
      if (!("asleep" in section.dataset) && !section.explorable) enliven(section);
    });
  }

  function enliven(section) {
    var name = section.dataset.explorable;
    var stage = section.querySelector(".explorable-stage");
    try {
      section.explorable = builders[name](stage, provided[name], remember);
      section.dataset.live = "";
    } catch (error) {
      stage.replaceChildren();
      throw error;
    } finally {
      delete section.dataset.waiting;
    }
    living.push(section);
    if (restore(section)) section.scrollIntoView();
  }

  // --- what comes only when it is asked for -------------------------------------------------------

  // A section that is asleep names the scripts it needs. It is a picture with a button under it; an
  // address that speaks of it opens it too.
  function layToSleep(section) {
    var words = section.dataset.opens;
    var line = html("p", { class: "explorable-open" }, html("button", { type: "button", class: "is-main", click: wake }, words));
    section.querySelector(".explorable-static").append(line);
    var root = document.documentElement;
    new MutationObserver(dress).observe(root, { attributeFilter: ["data-theme"] });
    dress();

    // Its picture stays, so it follows the page's scheme, not only the system's.
    function dress() {
      section.querySelector(".explorable-static source").media = root.dataset.theme === "dark" ? "screen" : "not all";
    }

    function wake(event) {
      var asked = line.firstChild;
      asked.disabled = true;
      asked.textContent = "on its way …";
      section.dataset.asleep
        .split(" ")
        .reduce(function (before, file) {
          return before.then(function () {
            return fetchScript(file);
          });
        }, Promise.resolve())
        .then(function () {
          delete section.dataset.asleep;
          if (!section.explorable) enliven(section);
          line.remove();
          var first = event && section.querySelector(".explorable-stage .is-main");
          if (first) first.focus({ preventScroll: true });
        })
        .catch(function () {
          asked.disabled = false;
          asked.textContent = words + " (it did not come: once more?)";
        });
    }

    if (fragment().has(section.dataset.explorable)) wake();
  }

  // --- the state, in the address ------------------------------------------------------------------

  // The fragment holds what the reader has changed: #digit=3&z7=-1.20. A handle's `address` has
  // `keys`, which no other explorable has, `write()`, which gives a value or null for each of them,
  // and `read(values)`. An anchor of the page has no "=".
  var living = [];
  var waiting;

  function fragment(hash) {
    var text = (hash || location.hash).slice(1);
    return new Map(new URLSearchParams(text.includes("=") ? text : ""));
  }

  // What the address holds, with what the reader has changed since.
  function current() {
    var values = fragment();
    living.forEach(function (section) {
      var written = section.explorable.address.write();
      Object.keys(written).forEach(function (key) {
        if (written[key] === null) values.delete(key);
        else values.set(key, written[key]);
      });
    });
    return values;
  }

  // `how` is "replaceState" or "pushState".
  function write(values, how) {
    var text = Array.from(values, function (pair) {
      return pair[0] + "=" + encodeURIComponent(pair[1]).replace(/%2C/g, ",");
    }).join("&");
    try {
      history[how](history.state, "", text ? "#" + text : location.pathname + location.search);
    } catch (error) {
      // A page from disk, in a browser that forbids it: the address stays as it is.
    }
  }

  function restore(section) {
    var address = section.explorable.address;
    var values = fragment();
    var mine = address.keys.some(function (key) {
      return values.has(key);
    });
    if (mine) address.read(values);
    return mine;
  }

  // One entry of the history, however much is moved; a browser refuses too many changes a second.
  function remember() {
    clearTimeout(waiting);
    waiting = setTimeout(function () {
      write(current(), "replaceState");
    }, 250);
  }

  window.addEventListener("hashchange", function () {
    living.forEach(restore);
  });

  // A link of the text that moves an explorable (the role `moves`). It sets what it names and leaves
  // the rest as the reader has it, a bet for instance. Without this its anchor leads to the figure.
  document.addEventListener("click", function (event) {
    var link = event.target.closest("a[data-moves]");
    var section = living.find(function (section) {
      return link && section.dataset.explorable === link.dataset.moves;
    });
    if (!section || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    clearTimeout(waiting);
    var values = current();
    fragment(link.hash).forEach(function (value, key) {
      values.set(key, value);
    });
    section.explorable.address.read(values);
    write(values, "pushState");
    offerWayBack(section, link);
    section.scrollIntoView();
  });

  // A button on the explorable that leads back to the link.
  function offerWayBack(section, link) {
    document.querySelectorAll(".explorable-back").forEach(function (old) {
      old.remove();
    });
    var back = button("↩\ufe0e back to the text", function () {
      back.remove();
      link.scrollIntoView({ block: "center" });
      link.focus({ preventScroll: true });
    });
    back.classList.add("explorable-back");
    section.prepend(back);
    back.focus({ preventScroll: true });
  }

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("section[data-asleep]").forEach(layToSleep);
  });

  // A number from the address, or what stands in its place if it is none; within bounds.
  function within(text, least, most, otherwise) {
    var value = Number(text);
    if (text === undefined || text === "" || !isFinite(value)) return otherwise;
    return Math.min(most, Math.max(least, value));
  }

  // Whole numbers below a bound from a list in the address: "0,2,12".
  function members(text, bound) {
    return (text || "").split(",").filter(function (word, at, words) {
      return /^\d+$/.test(word) && Number(word) < bound && words.indexOf(word) === at;
    }).map(Number);
  }

  // --- data -------------------------------------------------------------------------------------

  function bytes(base64) {
    var text = atob(base64);
    var array = new Uint8Array(text.length);
    for (var i = 0; i < array.length; i++) array[i] = text.charCodeAt(i);
    return array;
  }

  // Numbers packed as {base64, kind}; signed bytes as {text}, a letter for each.
  function numbers(packed) {
    if (packed.text) {
      var array = new Int8Array(packed.text.length);
      for (var i = 0; i < array.length; i++) {
        var letter = packed.text.charCodeAt(i);
        array[i] = letter - 79 - (letter > 206 ? 256 : 0);
      }
      return array;
    }
    var kinds = { uint8: Uint8Array, int16: Int16Array, float32: Float32Array };
    return new kinds[packed.kind](bytes(packed.base64).buffer);
  }

  // The decoder of a trained network: z -> pixels in [0, 1]. Each row of a weight matrix is kept as
  // whole multiples of its own step.
  function decoder(layers) {
    var stack = layers.map(function (layer) {
      var codes = numbers(layer.weight);
      var steps = numbers(layer.step);
      var outputs = steps.length;
      var inputs = layer.inputs;
      var weight = new Float32Array(outputs * inputs);
      for (var i = 0; i < weight.length; i++) {
        weight[i] = codes[i] * steps[(i / inputs) | 0];
      }
      return { weight: weight, bias: numbers(layer.bias), inputs: inputs, outputs: outputs };
    });
    return function decode(z) {
      var x = z;
      stack.forEach(function (layer, depth) {
        var y = new Float32Array(layer.outputs);
        var last = depth === stack.length - 1;
        for (var row = 0, at = 0; row < layer.outputs; row++) {
          var sum = layer.bias[row];
          for (var column = 0; column < layer.inputs; column++) sum += layer.weight[at++] * x[column];
          y[row] = last ? 1 / (1 + Math.exp(-sum)) : sum > 0 ? sum : 0;
        }
        x = y;
      });
      return x;
    };
  }

  // --- elements ---------------------------------------------------------------------------------

  function fill(element, attributes, children) {
    Object.keys(attributes || {}).forEach(function (name) {
      var value = attributes[name];
      if (typeof value === "function") element.addEventListener(name, value);
      else element.setAttribute(name, value);
    });
    element.append.apply(element, children);
    return element;
  }

  // html("button", {type: "button", click: zero}, "zero") ; a function is a listener.
  function html(tag, attributes) {
    return fill(document.createElement(tag), attributes, [].slice.call(arguments, 2));
  }

  function svg(tag, attributes) {
    var element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    return fill(element, attributes, [].slice.call(arguments, 2));
  }

  var ids = 0;

  // How far a finger may stray, in px, before it is a drag.
  var STRAY = 8;

  // A finger that scrolls the page may start on a slider. Until it has gone along the slider or has
  // been lifted, what the browser makes of it is put back.
  function guard(input, accept) {
    var touch = null; // {value, x, y}: where it began; wanted: what it asks for; over: it scrolls

    input.addEventListener("pointerdown", function (event) {
      touch = null;
      if (event.pointerType === "touch") touch = { value: input.value, x: event.clientX, y: event.clientY };
    });
    input.addEventListener("pointermove", function (event) {
      if (!touch || touch.over || touch.drags) return;
      var along = Math.abs(event.clientX - touch.x);
      touch.drags = along > STRAY && along > Math.abs(event.clientY - touch.y);
    });
    input.addEventListener("pointerup", function () {
      var tapped = touch && !touch.over && !touch.drags && touch.wanted;
      touch = null;
      if (!tapped) return;
      input.value = tapped;
      accept();
    });
    input.addEventListener("pointercancel", function () {
      if (!touch) return;
      touch.over = true;
      if (input.value === touch.value) return;
      input.value = touch.value;
      accept();
    });
    input.addEventListener("keydown", function () {
      touch = null;
    });
    input.addEventListener("input", function () {
      if (touch && !touch.drags) {
        touch.wanted = input.value;
        input.value = touch.value;
      } else {
        accept();
      }
    });
  }

  // A labelled slider; what it says to a screen reader is `speak(value)`. Set it from code by `set`.
  function slider(options) {
    var id = "explorable-" + ++ids;
    var input = html("input", {
      type: "range",
      id: id,
      min: options.min,
      max: options.max,
      step: options.step,
    });
    var output = html("output", { for: id, class: "explorable-value" });
    function show() {
      output.textContent = options.speak(input.valueAsNumber);
      input.setAttribute("aria-valuetext", output.textContent);
    }
    guard(input, function () {
      show();
      options.input(input.valueAsNumber);
    });
    function set(value) {
      input.value = value;
      show();
    }
    set(options.value);
    var label = html("label", { for: id }, options.label);
    return {
      row: html("div", { class: "explorable-slider" }, label, input, output),
      input: input,
      label: label,
      set: set,
    };
  }

  // z with a number below it: the fonts of the book have no such small figures.
  function variable(number) {
    return html("span", {}, "z", html("sub", {}, String(number)));
  }

  function button(words, click) {
    return html("button", { type: "button", click: click }, words);
  }

  // One of several: a group of radio buttons that look like tabs.
  function choice(options) {
    var name = "explorable-" + ++ids;
    var group = html("fieldset", { class: "explorable-choice" }, html("legend", {}, options.label));
    var inputs = options.values.map(function (value) {
      var input = html("input", { type: "radio", name: name, value: value });
      input.checked = value === options.value;
      input.addEventListener("change", function () {
        options.input(value);
      });
      group.append(html("label", {}, input, html("span", {}, value)));
      return input;
    });
    return {
      group: group,
      set: function (value) {
        inputs.forEach(function (input) {
          input.checked = input.value === value;
        });
      },
    };
  }

  // A quiet line that screen readers read out, once the reader has stopped moving things.
  function status() {
    var line = html("p", { class: "explorable-status", "aria-live": "polite" });
    var waiting;
    line.say = function (text) {
      clearTimeout(waiting);
      waiting = setTimeout(function () {
        line.textContent = text;
      }, 200);
    };
    return line;
  }

  // --- drawing ----------------------------------------------------------------------------------

  function scale(domain, range) {
    return function (value) {
      return range[0] + ((value - domain[0]) / (domain[1] - domain[0])) * (range[1] - range[0]);
    };
  }

  // A chart with a row for each variable: KL pulls to the left and gain to the right, in nats between
  // the `ends`; beside them its two variances, of which more than WIDEST is cut, and marked.
  var HEAD = 30;
  var LEFT = 52;
  var BAR = 14;
  var WIDEST = 1.6;

  function ropes(chart, ends) {
    var rope, share;

    function squeeze(nats) {
      return Math.sign(nats) * Math.log1p(Math.abs(nats));
    }

    // All but the rows, which take so many pixels; `bars` is the room of the variances.
    function layout(width, bars, rows) {
      var linear = scale(ends.map(squeeze), [LEFT, width - bars - 14]);
      rope = function (nats) {
        return linear(squeeze(Math.max(ends[0], Math.min(ends[1], nats))));
      };
      share = scale([0, WIDEST], [width - bars, width - 8]);
      var foot = HEAD + rows + 18;
      chart.setAttribute("height", foot + 22);
      chart.setAttribute("viewBox", "0 0 " + width + " " + (foot + 22));
      chart.replaceChildren();
      function line(x, kind, words) {
        chart.append(
          svg("line", { x1: x, x2: x, y1: HEAD - 6, y2: HEAD + rows, class: kind }),
          text(x, foot, "tick", "middle", words)
        );
      }
      [-4, -1, 0, 1, 10, 50].forEach(function (nats) {
        line(rope(nats), nats ? "grid" : "axis", Math.abs(nats));
      });
      line(share(0), "axis", 0);
      line(share(1), "law", 1);
      chart.append(
        text((rope(0) + rope(50)) / 2, foot + 16, "tick", "middle", "nats, logarithmic"),
        text(share(0), foot + 16, "tick", "start", "variance, linear"),
        text(rope(0) - 8, 16, "name kl", "end", "← KL"),
        text(rope(0) + 8, 16, "name gain", "start", "gain, nats →"),
        svg(
          "text",
          { x: share(0), y: 16, class: "name" },
          svg("tspan", { class: "mu" }, "Var μ"),
          svg("tspan", { class: "sigma" }, " + σ²")
        )
      );
    }

    // The parts of a row, around the y of 0: a group, and what moves in it.
    function row() {
      var parts = {
        ground: svg("rect", { class: "ground", x: 0, y: -BAR / 2 - 2, height: BAR + 4, rx: 3 }),
        cut: svg("path", { class: "cut" }),
        losing: svg("path", { class: "losing", d: "M" + (LEFT - 7) + ",-5l-7,5l7,5z" }),
      };
      // A bar one pixel long; it is stretched by a transform, which eases without laying out anew.
      ["kl", "gain", "mu", "sigma"].forEach(function (name) {
        parts[name] = svg("rect", { class: "bar " + name, y: -BAR / 2, width: 1, height: BAR });
      });
      parts.group = svg("g", { class: "tug-row" });
      ["ground", "kl", "gain", "mu", "sigma", "cut", "losing"].forEach(function (name) {
        parts.group.append(parts[name]);
      });
      return parts;
    }

    // Put a row in its place.
    function place(parts, y, width) {
      parts.group.style.transform = "translateY(" + y + "px)";
      parts.ground.setAttribute("width", width);
      parts.cut.setAttribute("d", "M" + (width - 6) + ",-5l5,5l-5,5z");
    }

    function stretch(rect, from, to) {
      rect.style.transform = "translateX(" + from.toFixed(1) + "px) scaleX(" + Math.max(0, to - from).toFixed(2) + ")";
    }

    function pull(parts, kl, gain, mu, sigma2) {
      var sum = mu + sigma2;
      stretch(parts.kl, rope(-kl), rope(0));
      stretch(parts.gain, rope(0), rope(Math.max(0, gain)));
      stretch(parts.mu, share(0), share(Math.min(mu, WIDEST)));
      stretch(parts.sigma, share(Math.min(mu, WIDEST)), share(Math.min(sum, WIDEST)));
      parts.group.classList.toggle("is-cut", sum > WIDEST);
    }

    return {
      layout: layout,
      row: row,
      place: place,
      pull: pull,
      share: function (variance) {
        return share(variance);
      },
    };
  }

  function text(x, y, name, anchor, words) {
    return svg("text", { x: x, y: y, class: name, "text-anchor": anchor }, words);
  }

  // Pixels in [0, 1], 28 x 28, white on black as in every figure of the book.
  function paint(canvas, pixels) {
    var side = Math.round(Math.sqrt(pixels.length));
    canvas.width = canvas.height = side;
    var image = new ImageData(side, side);
    for (var i = 0; i < pixels.length; i++) {
      image.data[4 * i] = image.data[4 * i + 1] = image.data[4 * i + 2] = Math.round(255 * pixels[i]);
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  // Call `draw` once in the next frame, however often it is asked for until then.
  function inFrame(draw) {
    var asked = false;
    return function () {
      if (asked) return;
      asked = true;
      requestAnimationFrame(function () {
        asked = false;
        draw();
      });
    };
  }

  // z₇
  function subscript(number) {
    return String(number).replace(/\d/g, function (figure) {
      return String.fromCharCode(0x2080 + Number(figure));
    });
  }

  function digits(value) {
    if (Math.abs(value) < 5e-4) return "0";
    return Number(value.toPrecision(Math.abs(value) < 0.1 ? 2 : 3)).toString();
  }

  // Always as many decimals, so that a value does not dance while it is moved; a true minus.
  function fixed(value, decimals) {
    var text = Math.abs(value).toFixed(decimals);
    return (value < 0 && Number(text) ? "−" : "") + text;
  }

  return {
    provide: provide,
    fetchData: fetchData,
    register: register,
    within: within,
    members: members,
    bytes: bytes,
    numbers: numbers,
    decoder: decoder,
    html: html,
    svg: svg,
    STRAY: STRAY,
    slider: slider,
    variable: variable,
    button: button,
    choice: choice,
    status: status,
    scale: scale,
    text: text,
    ropes: ropes,
    HEAD: HEAD,
    paint: paint,
    inFrame: inFrame,
    subscript: subscript,
    digits: digits,
    fixed: fixed,
    calm: window.matchMedia("(prefers-reduced-motion: reduce)"),
  };
})();
