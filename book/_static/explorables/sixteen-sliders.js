// Sixteen sliders: one for each latent variable. Which of them draw the digit?
Explorables.register("sixteen-sliders", function (stage, data) {
  "use strict";

  var html = Explorables.html;

  var decode = Explorables.decoder(data.decoder);
  var order = data.mu_variance
    .map(function (_, variable) {
      return variable;
    })
    .sort(function (a, b) {
      return data.mu_variance[b] - data.mu_variance[a];
    });
  var mostKl = Math.max.apply(null, data.kl);
  var farthest = Math.max.apply(null, data.digits.flat().map(Math.abs));
  var reach = Math.max(2.5, Math.ceil(2 * farthest) / 2); // of every slider

  var digit = 7;
  var z = data.digits[digit].slice();
  var untouched; // the pixels of the digit as it came
  var pixels;

  function subscript(variable) {
    return String(variable).replace(/./g, function (figure) {
      return String.fromCharCode(0x2080 + Number(figure));
    });
  }

  // --- what is on the stage -----------------------------------------------------------------------

  var picker = Explorables.choice({
    label: "digit",
    values: data.digits.map(function (_, each) {
      return String(each);
    }),
    value: String(digit),
    input: function (value) {
      pick(Number(value));
    },
  });
  var now = html("canvas", { class: "sixteen-now", role: "img" });
  var before = html("canvas", { class: "sixteen-before", role: "img" });
  var answer = html("p", { class: "explorable-answer", "aria-hidden": "true" });
  var status = Explorables.status();
  status.classList.add("unseen");

  var sliders = z.map(function (_, variable) {
    var slider = Explorables.slider({
      label: "z" + subscript(variable),
      min: -reach,
      max: reach,
      step: "any",
      value: 0,
      speak: function (value) {
        return Explorables.fixed(value, 2);
      },
      input: function (value) {
        z[variable] = value;
        update();
      },
    });
    var kl = data.kl[variable];
    slider.row.append(
      html(
        "span",
        { class: "sixteen-kl", style: "--length: " + kl / mostKl },
        html("span", { class: "unseen" }, "KL "),
        kl.toFixed(2),
        html("span", { class: "unseen" }, " nats")
      )
    );
    return slider;
  });

  function group(active, words) {
    var members = order.filter(function (variable) {
      return data.active[variable] === active;
    });
    var box = html(
      "fieldset",
      { class: "sixteen-group " + (active ? "active" : "inactive") },
      html("legend", {}, members.length + " " + words),
      html(
        "p",
        { class: "sixteen-head muted", "aria-hidden": "true" },
        html("span", {}, "value"),
        html("span", {}, "KL, nats")
      )
    );
    members.forEach(function (variable) {
      box.append(sliders[variable].row);
    });
    return box;
  }

  function button(words, click) {
    return html("button", { type: "button", click: click }, words);
  }

  stage.append(
    html(
      "div",
      { class: "sixteen" },
      html(
        "div",
        { class: "sixteen-controls" },
        picker.group,
        html(
          "div",
          { class: "explorable-controls" },
          button("zero all inactive", function () {
            zero(false);
          }),
          button("zero all active", function () {
            zero(true);
          }),
          button("reset to the digit", function () {
            pick(digit);
          })
        )
      ),
      html(
        "div",
        { class: "sixteen-look" },
        now,
        html(
          "div",
          { class: "sixteen-said" },
          html("div", {}, before, html("span", { class: "muted" }, "untouched")),
          answer
        )
      ),
      group(true, "variables that work"),
      group(false, "that do nothing"),
      html(
        "p",
        { class: "sixteen-note muted" },
        "In the order of Var μ. The thin mark on a line is zero; the thick one is where the encoder put the digit."
      ),
      status
    )
  );

  // --- one code -----------------------------------------------------------------------------------

  // How far the picture is from the untouched one, in grey levels of 255.
  function difference() {
    var sum = 0;
    for (var i = 0; i < pixels.length; i++) sum += Math.abs(pixels[i] - untouched[i]);
    return (255 * sum) / pixels.length;
  }

  function show() {
    pixels = decode(z);
    Explorables.paint(now, pixels);
    sliders.forEach(function (slider, variable) {
      slider.set(z[variable]);
    });
    var levels = difference();
    var words =
      levels === 0
        ? "This is the untouched " + digit + "."
        : "Mean change of a pixel: " +
          (levels < 0.01 ? "less than 0.01" : levels.toFixed(levels < 1 ? 2 : 1)) +
          " of 255 grey levels.";
    answer.textContent = words;
    status.say(words);
  }

  var update = Explorables.inFrame(show);

  function pick(value) {
    digit = value;
    z = data.digits[digit].slice();
    untouched = decode(z);
    Explorables.paint(before, untouched);
    before.setAttribute("aria-label", "The untouched " + digit);
    now.setAttribute("aria-label", "What the decoder draws of the " + digit);
    sliders.forEach(function (slider, variable) {
      slider.input.style.setProperty("--home", (z[variable] / reach + 1) / 2);
    });
    update();
  }

  function zero(active) {
    z = z.map(function (value, variable) {
      return data.active[variable] === active ? 0 : value;
    });
    update();
  }

  pick(digit);
  show();

  return {
    order: order,
    active: data.active,
    decode: decode,
    state: function () {
      return { digit: digit, z: z.slice(), pixels: decode(z) };
    },
    set: function (to) {
      if (to.digit !== undefined) {
        picker.set(String(to.digit));
        pick(to.digit);
      }
      if (to.z !== undefined) {
        z = to.z.slice();
        update();
      }
    },
  };
});
