// Sixteen sliders: one for each latent variable. Which of them draw the digit? The reader ticks those
// that do nothing, and only then sees which they are. A section with `data-open` starts there.
Explorables.register("sixteen-sliders", function (stage, first, remember) {
  "use strict";

  var html = Explorables.html;
  var subscript = Explorables.subscript;

  var SIZE = first.mu_variance.length;
  var VARIABLES = first.mu_variance.map(function (_, variable) {
    return variable;
  });

  var open = "open" in stage.parentElement.dataset;
  var networks = { a: prepared(first) }; // those that are here; the others come when they are asked for
  var results = {}; // of those that were revealed, in words
  var network = "a";
  var data = networks.a;
  var digit = 7;
  var z = data.digits[digit].slice();
  var dead = VARIABLES.map(function () {
    return false; // whether the reader ticked it
  });
  var revealed = open;
  var untouched; // the pixels of the digit as it came
  var pixels;

  // What a network's data do not say outright.
  function prepared(raw) {
    var farthest = Math.max.apply(null, raw.digits.flat().map(Math.abs));
    return Object.assign({}, raw, {
      decode: Explorables.decoder(raw.decoder),
      reach: Math.max(2.5, Math.ceil(2 * farthest) / 2), // of every slider
      order: VARIABLES.slice().sort(function (a, b) {
        return raw.mu_variance[b] - raw.mu_variance[a];
      }),
    });
  }

  // Before the answer is shown, a knob stands in its middle where the encoder put the digit: else
  // those that stand near zero would give themselves away. Its ends are those of the slider.
  function knobOf(variable) {
    if (revealed) return z[variable] / data.reach;
    var home = data.digits[digit][variable];
    var turned = z[variable] - home;
    return turned < 0 ? turned / (data.reach + home) : turned / (data.reach - home);
  }

  function valueOf(variable, knob) {
    if (revealed) return knob * data.reach;
    var home = data.digits[digit][variable];
    return home + knob * (knob < 0 ? data.reach + home : data.reach - home);
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
      remember();
    },
  });
  var now = html("canvas", { class: "sixteen-now", role: "img" });
  var before = html("canvas", { class: "sixteen-before", role: "img" });
  var change = html("p", { class: "explorable-answer", "aria-hidden": "true" });
  var status = Explorables.status();
  status.classList.add("unseen");

  var rows = VARIABLES.map(function (variable) {
    var name = "z" + subscript(variable);
    var slider = Explorables.slider({
      label: Explorables.variable(variable),
      min: -1,
      max: 1,
      step: "any",
      value: 0,
      speak: function (knob) {
        if (revealed) return Explorables.fixed(valueOf(variable, knob), 2);
        return knob ? "turned by " + Explorables.fixed(100 * knob, 0) + " %" : "not turned";
      },
      input: function (knob) {
        z[variable] = valueOf(variable, knob);
        update();
        remember();
      },
    });
    var tick = html("input", {
      type: "checkbox",
      "aria-label": name + " does nothing",
      change: function () {
        dead[variable] = tick.checked;
        count();
        remember();
      },
    });
    var kl = html("span", { class: "sixteen-kl" });
    var verdict = html("span", { class: "sixteen-verdict" });
    slider.row.append(kl, html("label", { class: "sixteen-tick" }, tick), verdict);
    return Object.assign(slider, { tick: tick, kl: kl, verdict: verdict });
  });

  var groups = html("div", { class: "sixteen-groups" });
  var toZero = [false, true].map(function (active) {
    return Explorables.button("zero all " + (active ? "active" : "inactive"), function () {
      z = z.map(function (value, variable) {
        return data.active[variable] === active ? 0 : value;
      });
      update();
      remember();
    });
  });
  var zeros = html("div", { class: "explorable-controls" }, toZero[0], toZero[1]);
  var reset = Explorables.button("reset", function () {
    pick(digit);
    remember();
  });
  var reveal = Explorables.button("reveal", function () {
    uncover(true);
    score.scrollIntoView({ block: "nearest" });
    again.focus({ preventScroll: true });
    remember();
  });
  reveal.classList.add("is-main");
  var again = Explorables.button("another network", function () {
    var keys = ["a"].concat(first.others);
    deal(keys[(keys.indexOf(network) + 1) % keys.length]).then(remember, function () {
      score.textContent = "The other network could not be loaded.";
    });
  });
  var copy = Explorables.button("copy link", function () {
    remember();
    setTimeout(copyAddress, 300); // once it holds what is on the stage
  });
  var score = html("p", { class: "sixteen-score", role: "status" });

  stage.append(
    html(
      "div",
      { class: "sixteen" },
      html(
        "div",
        { class: "sixteen-controls" },
        picker.group,
        zeros
      ),
      html(
        "div",
        { class: "sixteen-look" },
        now,
        html(
          "div",
          { class: "sixteen-said" },
          html("div", {}, before, html("span", { class: "muted" }, "untouched")),
          html("div", { class: "sixteen-change" }, change, reset)
        )
      ),
      groups,
      html(
        "div",
        { class: "sixteen-end" },
        score,
        html("div", { class: "explorable-controls" }, reveal, again, copy)
      ),
      status
    )
  );

  function copyAddress() {
    var said = "The link is copied: digit, knobs, ticks and answer are in it.";
    if (!navigator.clipboard) copy.textContent = "the link is in the address bar";
    else
      navigator.clipboard.writeText(location.href).then(
        function () {
          copy.textContent = "link copied";
          status.say(said);
        },
        function () {
          copy.textContent = "the link is in the address bar";
        }
      );
    setTimeout(function () {
      copy.textContent = "copy link";
    }, 3000);
  }

  // Rows with a head over their columns. A head that is not for the ear is said by each row.
  function group(name, legend, members, heads) {
    var head = html("p", { class: "sixteen-head muted", "aria-hidden": "true" });
    heads.forEach(function (words) {
      head.append(html("span", {}, words));
    });
    var box = html("fieldset", { class: "sixteen-group " + name }, html("legend", {}, legend), head);
    members.forEach(function (variable) {
      box.append(rows[variable].row);
    });
    return box;
  }

  // Put the rows where they belong: in their own order, or sorted by what they do.
  function arrange() {
    var scored = revealed && dead.some(Boolean);
    stage.firstChild.classList.toggle("is-revealed", revealed);
    stage.firstChild.classList.toggle("is-scored", scored);
    if (revealed) {
      var kinds = [true, false].map(function (active) {
        return data.order.filter(function (variable) {
          return data.active[variable] === active;
        });
      });
      var heads = [scored ? "your tick" : "value", "KL, nats"];
      groups.replaceChildren(
        group("active", kinds[0].length + " work", kinds[0], heads),
        group("inactive", kinds[1].length + " do nothing", kinds[1], heads),
        html(
          "p",
          { class: "sixteen-note muted" },
          "Sorted by how much they move from image to image. KL is what a variable costs, in nats. " +
            "The thin mark on a line is zero; the thick one is where the encoder put the digit."
        )
      );
    } else {
      var half = SIZE / 2;
      groups.replaceChildren(
        group("", "knobs 0 to " + (half - 1), VARIABLES.slice(0, half), ["does nothing?"]),
        group("", "knobs " + half + " to " + (SIZE - 1), VARIABLES.slice(half), ["does nothing?"])
      );
    }
    var mostKl = Math.max.apply(null, data.kl);
    rows.forEach(function (row, variable) {
      row.kl.style.setProperty("--length", data.kl[variable] / mostKl);
      row.kl.replaceChildren(
        html("span", { class: "unseen" }, "KL "),
        data.kl[variable].toFixed(2),
        html("span", { class: "unseen" }, " nats")
      );
      row.tick.checked = dead[variable];
      row.tick.disabled = revealed;
      row.verdict.textContent = "";
      if (scored) {
        if (dead[variable]) row.verdict.textContent = data.active[variable] ? "false alarm" : "hit";
        else if (!data.active[variable]) row.verdict.textContent = "missed";
      }
    });
    reveal.hidden = revealed;
    again.hidden = copy.hidden = !revealed;
    zeros.hidden = !revealed;
  }

  // --- the game -----------------------------------------------------------------------------------

  function list(variables) {
    return variables
      .map(function (variable) {
        return "z" + subscript(variable);
      })
      .join(", ");
  }

  function which(test) {
    return VARIABLES.filter(test);
  }

  function outcome() {
    return {
      hits: which(function (j) {
        return dead[j] && !data.active[j];
      }),
      misses: which(function (j) {
        return !dead[j] && !data.active[j];
      }),
      alarms: which(function (j) {
        return dead[j] && data.active[j];
      }),
    };
  }

  // While guessing: how many are ticked. Afterwards: what came of it.
  function count() {
    var ticked = dead.filter(Boolean).length;
    if (!revealed) {
      score.textContent =
        "Network " + network.toUpperCase() + ". " +
        (ticked ? ticked + " of " + SIZE + " ticked." : "Turn the knobs. Tick those that do nothing.");
      return;
    }
    var name = "Network " + network.toUpperCase() + " (" + data.about + "): ";
    var silent = which(function (j) {
      return !data.active[j];
    });
    if (!ticked) {
      score.textContent = name + silent.length + " of its " + SIZE + " variables do nothing.";
      return;
    }
    var found = outcome();
    var right = SIZE - found.misses.length - found.alarms.length;
    var words = name + silent.length + " do nothing. You found " + found.hits.length;
    words += found.misses.length ? " and missed " + found.misses.length + " (" + list(found.misses) + ")" : "";
    words += found.alarms.length
      ? "; " + found.alarms.length + " false alarm" + (found.alarms.length > 1 ? "s" : "") +
        " (" + list(found.alarms) + ")."
      : ", with no false alarm.";
    words +=
      right === SIZE
        ? " All " + SIZE + " right."
        : " That is " + right + " of " + SIZE + " right; a coin gets " + SIZE / 2 + ".";
    results[network] = network.toUpperCase() + " " + right + " right, " + silent.length + " dead";
    var others = Object.keys(results).sort();
    if (others.length > 1) {
      words += " So far: " + others.map(function (key) {
        return results[key];
      }).join("; ") + ".";
    }
    score.textContent = words;
  }

  function uncover(yes) {
    revealed = yes;
    arrange();
    count();
    marks();
    show();
  }

  // Another network, from the start: nothing ticked, nothing revealed.
  function deal(key) {
    var ready = networks[key]
      ? Promise.resolve()
      : Explorables.fetchData("sixteen-sliders-" + key).then(function (raw) {
          networks[key] = prepared(raw);
        });
    return ready.then(function () {
      take(key);
      uncover(false);
    });
  }

  function take(key) {
    network = key;
    data = networks[key];
    dead = dead.map(function () {
      return false;
    });
    pick(digit);
  }

  // --- one code -----------------------------------------------------------------------------------

  // How far the picture is from the untouched one, in grey levels of 255.
  function difference() {
    var sum = 0;
    for (var i = 0; i < pixels.length; i++) sum += Math.abs(pixels[i] - untouched[i]);
    return (255 * sum) / pixels.length;
  }

  function show() {
    pixels = data.decode(z);
    Explorables.paint(now, pixels);
    rows.forEach(function (row, variable) {
      row.set(knobOf(variable));
    });
    var levels = difference();
    var words =
      levels === 0
        ? "This is the untouched " + digit + "."
        : "Mean change of a pixel: " +
          (levels < 0.01 ? "less than 0.01" : levels.toFixed(levels < 1 ? 2 : 1)) +
          " of 255 grey levels.";
    change.textContent = words;
    status.say(words);
  }

  var update = Explorables.inFrame(show);

  // Where the encoder put the digit, on each line.
  function marks() {
    rows.forEach(function (row, variable) {
      var home = revealed ? data.digits[digit][variable] / data.reach : 0;
      row.input.style.setProperty("--home", (home + 1) / 2);
    });
  }

  function pick(value) {
    digit = value;
    z = data.digits[digit].slice();
    untouched = data.decode(z);
    Explorables.paint(before, untouched);
    before.setAttribute("aria-label", "The untouched " + digit);
    now.setAttribute("aria-label", "What the decoder draws of the " + digit);
    marks();
    update();
  }

  pick(digit);
  uncover(open);

  // --- from outside -------------------------------------------------------------------------------

  function set(to) {
    var key = to.network === undefined ? network : to.network;
    var ready = key === network ? Promise.resolve() : deal(key);
    function rest() {
      if (to.digit !== undefined) {
        picker.set(String(to.digit));
        pick(to.digit);
      }
      if (to.dead !== undefined) {
        dead = VARIABLES.map(function (variable) {
          return to.dead.indexOf(variable) >= 0;
        });
      }
      if (to.z !== undefined) z = to.z.slice();
      uncover(to.revealed === undefined ? revealed : to.revealed);
    }
    if (key !== network) return ready.then(rest);
    rest();
    return ready;
  }

  function ticked() {
    return which(function (variable) {
      return dead[variable];
    });
  }

  return {
    get order() {
      return data.order;
    },
    get active() {
      return data.active;
    },
    decode: function (code) {
      return data.decode(code);
    },
    outcome: outcome,
    state: function () {
      return {
        network: network,
        digit: digit,
        z: z.slice(),
        dead: ticked(),
        revealed: revealed,
        pixels: data.decode(z),
      };
    },
    set: set,
    address: {
      // net=b, digit=3, z7=-1.20 of those that were turned, dead=0,4 as ticked, shown=1 or 0
      keys: ["net", "digit", "dead", "shown"].concat(
        VARIABLES.map(function (variable) {
          return "z" + variable;
        })
      ),
      write: function () {
        var values = {
          net: network === "a" ? null : network,
          digit: digit === 7 ? null : String(digit),
          dead: ticked().join(",") || null,
          shown: revealed === open ? null : String(Number(revealed)),
        };
        VARIABLES.forEach(function (variable) {
          var turned = z[variable] !== data.digits[digit][variable];
          values["z" + variable] = turned ? z[variable].toFixed(2) : null;
        });
        return values;
      },
      read: function (values) {
        var key = first.others.indexOf(values.get("net")) < 0 ? "a" : values.get("net");
        var other = Math.round(Explorables.within(values.get("digit"), 0, 9, 7));
        return set({ network: key }).then(function () {
          return set({
            digit: other,
            dead: Explorables.members(values.get("dead"), SIZE),
            revealed: values.has("shown") ? values.get("shown") === "1" : open,
            z: data.digits[other].map(function (home, variable) {
              return Explorables.within(values.get("z" + variable), -data.reach, data.reach, home);
            }),
          });
        });
      },
    },
  };
});
