// The latent plane: codes of test digits, the prior, and what the decoder draws at a point.
Explorables.register("latent-plane", function (stage, data, remember) {
  "use strict";

  var html = Explorables.html;
  var svg = Explorables.svg;

  var DIGITS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
  var LAYERS = 5; // so that no digit lies on top of all others
  var SIDE = 400; // of the plane, in units of its drawing
  var DRAWS = 20; // from the prior, at once
  var STEPS = 40; // arrow keys from edge to edge; with shift a quarter of them

  var labels = Explorables.numbers(data.labels);
  var models = data.models.map(function (model) {
    return {
      name: model.name,
      reach: model.reach, // the window is from -reach to reach, both ways
      codes: Float32Array.from(Explorables.numbers(model.codes), function (code) {
        return code * model.code_step;
      }),
      decode: Explorables.decoder(model.decoder),
    };
  });

  var model = models[0];
  var z = [0, 0];
  var draws = []; // from the prior; each model decodes the same ones

  // --- what is on the stage -----------------------------------------------------------------------

  var tabs = Explorables.choice({
    label: "model",
    values: models.map(function (each) {
      return each.name;
    }),
    value: model.name,
    input: function (name) {
      choose(name);
      remember();
    },
  });
  var extent = html("p", { class: "plane-window muted" });
  var scatter = svg("svg", { viewBox: "0 0 " + SIDE + " " + SIDE, "aria-hidden": "true" });
  // What moves lies in a drawing of its own: the 2,000 dots need not be painted again.
  var aim = {
    across: svg("line", { class: "cross", x1: 0, x2: SIDE }),
    down: svg("line", { class: "cross", y1: 0, y2: SIDE }),
    nearest: svg("line", { class: "nearest" }),
    marks: svg("path", { class: "marks" }),
  };
  var above = svg(
    "svg",
    { viewBox: scatter.getAttribute("viewBox"), "aria-hidden": "true" },
    aim.across, aim.down, aim.marks, aim.nearest
  );
  var handle = html("div", {
    class: "plane-handle",
    tabindex: 0,
    role: "application",
    "aria-label": "The point. Arrow keys move it, with shift in larger steps.",
    keydown: press,
  });
  var field = html(
    "div",
    { class: "plane-field", pointerdown: grasp, pointermove: drag, pointerup: release },
    scatter, above, handle
  );
  var ticks = html("div", { class: "plane-ticks", "aria-hidden": "true" });
  var keys = DIGITS.map(function (digit) {
    return html("li", { style: "--ink: var(--digit-" + digit + ")" }, String(digit));
  });
  var picture = html("canvas", { class: "plane-picture", role: "img" });
  var answer = html("p", { class: "explorable-answer", "aria-hidden": "true" });
  var status = Explorables.status();
  status.classList.add("unseen");
  var sliders = [0, 1].map(function (axis) {
    return Explorables.slider({
      label: Explorables.variable(axis),
      min: -model.reach,
      max: model.reach,
      step: "any",
      value: 0,
      speak: coordinate,
      input: function (value) {
        move(axis ? [z[0], value] : [value, z[1]]);
        remember();
      },
    });
  });
  var legend = html("ul", { class: "plane-legend", "aria-label": "Legend" });
  legend.append.apply(legend, keys);
  legend.append(
    html("li", { class: "prior" }, "prior: 1, 2, 3 σ"),
    html("li", { class: "drawn" }, "drawn from it")
  );
  var strip = html("div", { class: "plane-strip", role: "img" });
  for (var at = 0; at < DRAWS; at++) strip.append(html("canvas", {}));
  var drawn = html(
    "div",
    { class: "plane-drawn" },
    Explorables.button("draw " + DRAWS + " from the prior", drawFromPrior),
    strip
  );

  stage.append(
    html(
      "div",
      { class: "plane" },
      html("div", { class: "explorable-controls" }, tabs.group, extent),
      html("div", { class: "plane-map" }, html("div", { class: "plane-frame" }, field, ticks), legend),
      html(
        "div",
        { class: "plane-answer" },
        html("p", { class: "plane-caption muted" }, "the decoder draws"),
        picture,
        answer,
        html("div", { class: "plane-sliders" }, sliders[0].row, sliders[1].row)
      ),
      drawn,
      status
    )
  );

  // --- the plane ----------------------------------------------------------------------------------

  function number(value) {
    return Explorables.digits(value).replace("-", "−");
  }

  function coordinate(value) {
    return Explorables.fixed(value, model.reach > 10 ? 1 : 2);
  }

  function x(value) {
    return ((value / model.reach + 1) / 2) * SIDE;
  }

  function y(value) {
    return SIDE - x(value);
  }

  function percent(length) {
    return (100 * length) / SIDE + "%";
  }

  function place(element, at) {
    Object.keys(at).forEach(function (name) {
      element.setAttribute(name, at[name].toFixed(1));
    });
  }

  // Everything that depends on the model alone: codes, rings, axes.
  function spread() {
    scatter.replaceChildren();
    for (var layer = 0; layer < LAYERS; layer++) {
      var paths = DIGITS.map(function () {
        return "";
      });
      for (var i = layer; i < labels.length; i += LAYERS) {
        // A line of no length with round ends is a dot.
        paths[labels[i]] +=
          "M" + x(model.codes[2 * i]).toFixed(1) + " " + y(model.codes[2 * i + 1]).toFixed(1) + "h0";
      }
      paths.forEach(function (d, digit) {
        scatter.append(svg("path", { class: "dots", d: d, style: "--ink: var(--digit-" + digit + ")" }));
      });
    }
    [1, 2, 3].forEach(function (sigmas) {
      ["halo", "ring"].forEach(function (name) {
        scatter.append(svg("circle", { class: name, cx: x(0), cy: y(0), r: x(sigmas) - x(0) }));
      });
    });

    var corner = -3 * Math.SQRT1_2; // where the outermost ring looks down and left
    ticks.replaceChildren(
      html("i", { class: "name-x" }, Explorables.variable(0)),
      html("i", { class: "name-y" }, Explorables.variable(1)),
      html("b", { style: "left: " + percent(x(corner)) + "; top: " + percent(y(corner)) }, "prior")
    );
    var step = model.reach > 10 ? 20 : 1;
    var most = Math.floor(model.reach / step);
    for (var n = -most; n <= most; n++) {
      ticks.append(
        html("span", { class: "on-x", style: "left: " + percent(x(n * step)) }, number(n * step)),
        html("span", { class: "on-y", style: "top: " + percent(y(n * step)) }, number(n * step))
      );
    }
    extent.textContent = "both axes: " + number(-model.reach) + " to " + number(model.reach);
    sliders.forEach(function (slider) {
      slider.input.min = -model.reach;
      slider.input.max = model.reach;
    });
  }

  // The test digit whose code is nearest.
  function nearest() {
    var best = { squared: Infinity };
    for (var i = 0; i < labels.length; i++) {
      var right = model.codes[2 * i] - z[0];
      var up = model.codes[2 * i + 1] - z[1];
      var squared = right * right + up * up;
      if (squared < best.squared) best = { index: i, squared: squared };
    }
    return { index: best.index, label: labels[best.index], distance: Math.sqrt(best.squared) };
  }

  // --- one point ----------------------------------------------------------------------------------

  function show() {
    Explorables.paint(picture, model.decode(z));
    var found = nearest();
    var left = x(z[0]);
    var top = y(z[1]);
    handle.style.transform =
      "translate(" + (100 * left) / SIDE + "cqw, " + (100 * top) / SIDE + "cqh)";
    place(aim.across, { y1: top, y2: top });
    place(aim.down, { x1: left, x2: left });
    place(aim.nearest, {
      x1: left,
      y1: top,
      x2: x(model.codes[2 * found.index]),
      y2: y(model.codes[2 * found.index + 1]),
    });
    keys.forEach(function (key, digit) {
      key.classList.toggle("is-nearest", digit === found.label);
    });
    sliders.forEach(function (slider, axis) {
      slider.set(z[axis]);
    });
    var words =
      "nearest of " + labels.length.toLocaleString("en") + " codes: " +
      (found.label === 8 ? "an " : "a ") + found.label + ", " + number(found.distance) + " away";
    answer.textContent = words;
    picture.setAttribute("aria-label", "What the decoder of the " + model.name + " draws here");
    status.say(model.name + ", point " + z.map(coordinate).join(", ") + "; " + words);
  }

  var update = Explorables.inFrame(show);

  // What was drawn from the prior, as marks on the plane and as pictures in the strip.
  function showDraws() {
    var marks = draws.map(function (draw) {
      return "M" + (x(draw[0]) - 4) + " " + y(draw[1]) + "h8m-4-4v8";
    });
    aim.marks.setAttribute("d", marks.join(""));
    draws.forEach(function (draw, at) {
      Explorables.paint(strip.children[at], model.decode(draw));
    });
    strip.setAttribute(
      "aria-label",
      draws.length
        ? "What the decoder of the " + model.name + " makes of " + DRAWS + " draws from the prior"
        : "Room for " + DRAWS + " draws from the prior"
    );
  }

  function move(to) {
    z = to.map(function (value) {
      return Math.min(model.reach, Math.max(-model.reach, value));
    });
    update();
  }

  function choose(name) {
    model = models.find(function (each) {
      return each.name === name;
    });
    spread();
    showDraws();
    move([0, 0]);
  }

  function drawFromPrior() {
    draws = [];
    while (draws.length < DRAWS) {
      // Box and Muller: an angle, and a length whose square is exponential.
      var angle = 2 * Math.PI * Math.random();
      var length = Math.sqrt(-2 * Math.log(1 - Math.random()));
      draws.push([length * Math.cos(angle), length * Math.sin(angle)]);
    }
    showDraws();
  }

  // --- mouse, finger, keys ------------------------------------------------------------------------

  var tap = null; // where a finger came down on the plane; it may still scroll the page

  // A mouse takes hold anywhere. A finger drags the handle alone; elsewhere it taps, or scrolls.
  function grasp(event) {
    tap = null;
    if (event.button) return;
    if (event.pointerType === "touch" && event.target !== handle) {
      tap = [event.clientX, event.clientY];
      return;
    }
    event.preventDefault(); // select no text
    field.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    if (event.target !== handle) moveTo(event);
  }

  function drag(event) {
    if (event.pointerType === "touch" && tap) return;
    if (field.hasPointerCapture(event.pointerId)) moveTo(event);
  }

  function release(event) {
    if (!tap) return;
    var strayed = Math.hypot(event.clientX - tap[0], event.clientY - tap[1]);
    tap = null;
    if (strayed < Explorables.STRAY) moveTo(event);
  }

  function moveTo(event) {
    var box = field.getBoundingClientRect();
    move([
      (2 * (event.clientX - box.left) / box.width - 1) * model.reach,
      (1 - 2 * (event.clientY - box.top) / box.height) * model.reach,
    ]);
    remember();
  }

  function press(event) {
    var way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    var step = ((event.shiftKey ? 4 : 1) * 2 * model.reach) / STEPS;
    move([z[0] + step * way[0], z[1] + step * way[1]]);
    remember();
  }

  spread();
  var start = Array.from(model.codes.subarray(0, 2)); // the first test digit
  z = start;
  showDraws();
  show();

  function set(to) {
    if (to.model !== undefined) {
      tabs.set(to.model);
      choose(to.model);
    }
    if (to.z !== undefined) move(to.z);
  }

  return {
    models: models.map(function (each) {
      return each.name;
    }),
    decode: function (name, point) {
      return models
        .find(function (each) {
          return each.name === name;
        })
        .decode(point);
    },
    draws: function () {
      return draws;
    },
    state: function () {
      return { model: model.name, z: z.slice(), pixels: model.decode(z) };
    },
    set: set,
    address: {
      // model=vae, x=-0.50, y=1.25
      keys: ["model", "x", "y"],
      write: function () {
        var moved = model !== models[0] || z[0] !== start[0] || z[1] !== start[1];
        return {
          model: model === models[0] ? null : model.name.toLowerCase(),
          x: moved ? z[0].toFixed(2) : null,
          y: moved ? z[1].toFixed(2) : null,
        };
      },
      read: function (values) {
        var named = models.find(function (each) {
          return each.name.toLowerCase() === values.get("model");
        });
        set({ model: (named || models[0]).name });
        move(
          ["x", "y"].map(function (key, axis) {
            return Explorables.within(values.get(key), -model.reach, model.reach, named ? 0 : start[axis]);
          })
        );
      },
    },
  };
});
