// What the explorables share. Classic scripts, one global name: a page opened from disk may load
// neither modules nor data by fetch, so each file of data is a script that calls `provide`.
var Explorables = (function () {
  "use strict";

  var provided = {};

  // Data of an explorable; its script comes next and calls `register`.
  function provide(name, data) {
    provided[name] = data;
  }

  // Bring every section of this name on the page to life. Where that fails, the static figure stays.
  // `build(stage, data)` fills the stage and returns the handle through which it can be driven.
  function register(name, build) {
    document.querySelectorAll('section[data-explorable="' + name + '"]').forEach(function (section) {
      var stage = section.querySelector(".explorable-stage");
      try {
        section.explorable = build(stage, provided[name]);
        section.dataset.live = "";
      } catch (error) {
        stage.replaceChildren();
        throw error;
      }
    });
  }

  // --- data -------------------------------------------------------------------------------------

  function bytes(base64) {
    return Uint8Array.from(atob(base64), function (character) {
      return character.charCodeAt(0);
    });
  }

  // Numbers packed as {base64, kind}.
  function numbers(packed) {
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
    input.addEventListener("input", function () {
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
    register: register,
    bytes: bytes,
    numbers: numbers,
    decoder: decoder,
    html: html,
    svg: svg,
    slider: slider,
    choice: choice,
    status: status,
    scale: scale,
    paint: paint,
    inFrame: inFrame,
    digits: digits,
    fixed: fixed,
    calm: window.matchMedia("(prefers-reduced-motion: reduce)"),
  };
})();
