// The engine of the laboratory: a dense VAE that trains in the page.
//
// Classic scripts, for a page opened from disk loads no modules. Before this one come core.js and
// engine-products.js, which has what takes time in WebAssembly (its source is
// tools/engine/products.wat); without that, or where a browser lacks SIMD, plain JavaScript does it.
//
// In the page
//
//   var engine = Engine.open(show);      a worker; `show(measured)` is called at each measurement
//   engine.data("glyphs", Engine.glyphs(packed));     packed: what engine-glyphs.data.js provides
//   engine.create(settings)              a new network; whatever was there is gone
//   engine.reset({seed: 1})              the same again from step 0, with some settings changed or
//                                        none; what `set` has changed stays
//   engine.play({until: 2000})           train; to that step, if one is given
//   engine.pause()
//   engine.step(20)                      train so many steps
//   engine.set({beta: 4})                change what may change while it trains, at the next step
//   engine.measure()
//   engine.decode(codes)                 pixels of codes, one code after another in one array
//   engine.encode(images)                {mu, logvar} of images in [0, 1], one after another
//   engine.close()
//
// All but `close` return a promise. `decode` and `encode` give the numbers, the others what was
// measured then; `play` and `step` when they have stopped, for whatever reason. (`set` gives nothing
// while it plays: the next measurement comes by itself.) An error of the engine rejects the promise.
// `create`, `reset`, `step`, `pause` and `play` stop what plays.
//
// Settings that make a network (defaults behind the colon)
//
//   data: "glyphs"          or "toy": Gaussian data, drawn by the seed, with these eigenvalues; then
//                           hidden: [], latent: 6 and likelihood: "gaussian" are the defaults
//   eigenvalues: [5, 3, 1.5, 0.8, 0.4, 0.1]
//   hidden: [64, 32]        widths of the encoder's hidden layers, none to four; the decoder has
//                           them in reverse. With none, encoder and decoder are straight lines
//   latent: 16              1 to 32
//   leak: 0                 slope of a hidden unit for negative inputs: 0 is a ReLU, 1 a line
//   likelihood: "bernoulli" or "gaussian", with decoderVariance: 1 (η², fixed)
//   initialisation: "glorot" or "torch"
//   seed: 0                 of the first weights, the order of the images and the noise
//   batch: 64               a multiple of 4
//   gainImages: 200         of the held-out images, for the two gains
//   pictures: 0             that many held-out images, one of each label first, are reconstructed
//   draws: 0                at each measurement, and that many fixed draws from the prior decoded
//   plain: false            true: no WebAssembly
//
// Settings that may change at any step, by `set`; `create` takes them too
//
//   beta: 1                 weight of the KL
//   path: []                [[step, beta], …]: at that step β becomes that
//   learningRate: 0.003     of Adam
//   sample: true            false: z is the posterior mean, without noise
//   free: []                these variables have no KL
//   revive: {variables: [3], steps: 400}     they have no KL for so many steps from now, and are no
//                           longer killed; `variables: 2` takes the two with the least Var μ
//   killed: []              of these the encoder says μ = 0 and log σ² = 0, whatever the image: they
//                           are at the prior and stay there until they leave the list
//   interval: 100           ms between measurements while it plays
//   pace: Infinity          steps a second, at most
//
// These are the cuts of the chapter on the vicious cycle: `sample` is what Experiment's
// sample_from_epoch does (cut 1, and 2 where it comes late), `free` free_variable (3), `revive`
// revive_epochs and revive_count (5); `path` is beta_path. What holds signal and noise (4) is not
// here.
//
// What is measured, on held-out images; arrays have an entry for each latent variable
//
//   step, beta              steps done, and β at the last of them
//   sample, free, killed    as set
//   revived                 variables that have no KL for the time being
//   varMu, meanSigma2, kl   over all held-out images; nats
//   gain                    nats lost when the variable is replaced by its mean, at z = μ
//   noisyGain               the same where z is drawn: below `kl`, the variable does not pay
//   used                    how many have a gain above Engine.USED = 0.5 nats
//   active                  how many have a Var μ above Engine.ACTIVE = 0.05
//   likelihood, price, elbo mean log P(X|z), mean KL of all variables, and the difference: nats
//   klWeights               of each variable's KL now: β, or 0 where it has no price
//   finite                  false: training has blown up; it stops by itself
//   playing, perSecond      whether it plays on, and the steps a second while it last trained
//   backend                 "simd" or "plain"
//   images, reconstructions, draws      Float32Array, pictures of `pixels` pixels in a row
//
// Training is the same on every machine and in every browser, to rounding: numbers are drawn by whole
// numbers, from streams of their own for weights, order and noise, and measuring draws none of them.
// What is changed by `set` while it plays comes at a step that depends on the machine; `path`,
// and `set` while it stands, do not.
//
// Engine.linearOptimum(eigenvalues, decoderVariance, beta) is the closed form of the toy's end: for
// each eigenvalue, largest first, {varMu, sigma2, kl}.
//
// Without a worker: `Engine.network(settings, sets)` is the network itself, for tests.
var Engine = (function () {
  "use strict";

  var USED = 0.5; // nats: in this small network few bring between a tenth of a nat and one
  var ACTIVE = 0.05; // of Var μ

  // All that the worker runs: its text is sent there, so it names nothing outside.
  function library(USED, ACTIVE) {
    var FIXED = {
      data: "glyphs",
      eigenvalues: [5, 3, 1.5, 0.8, 0.4, 0.1],
      hidden: [64, 32],
      latent: 16,
      leak: 0,
      likelihood: "bernoulli",
      decoderVariance: 1,
      initialisation: "glorot",
      seed: 0,
      batch: 64,
      gainImages: 200,
      pictures: 0,
      draws: 0,
      plain: false,
    };
    // The toy has its own: Gaussian data for straight lines, a variable for each eigenvalue.
    var OF_TOY = { hidden: [], latent: 6, likelihood: "gaussian" };
    var CHANGEABLE = {
      beta: 1,
      path: [],
      learningRate: 0.003,
      sample: true,
      free: [],
      killed: [],
      revive: null,
      interval: 100,
      pace: Infinity,
    };
    var REVIVED_FOR = 400; // steps: about as many epochs as in the chapter on the vicious cycle
    var TOY_IMAGES = [5000, 500];
    var CHUNK = 128; // images at once, where nothing is learnt
    // Numbers of the streams of random numbers.
    var WEIGHTS = 1, ORDER = 2, NOISE = 3, MEASURING = 4, DRAWS = 5, TOY = 6;

    // --- random numbers ---------------------------------------------------------------------------

    // sfc32 by Chris Doty-Humphrey: whole numbers below 2^32, the same on every machine. Its state is
    // in an array because whole numbers there are not made into objects, which takes most of the time.
    function stream(seed, number) {
      var state = Int32Array.of(0, seed, number, 1);
      function next() {
        var b = state[1], c = state[2], drawn = (state[0] + b + state[3]) | 0;
        state[3]++;
        state[0] = b ^ (b >>> 9);
        state[1] = (c + (c << 3)) | 0;
        state[2] = (((c << 21) | (c >>> 11)) + drawn) | 0;
        return drawn >>> 0;
      }
      for (var i = 0; i < 20; i++) next();
      return next;
    }

    // In [0, 1).
    function uniform(next) {
      return next() / 4294967296;
    }

    // Standard normal numbers into an array: from which of 128 layers of equal area under the bell
    // curve, and where in it [Marsaglia and Tsang 2000]. Nearly all need no function of Math.
    var EDGE = 3.442619855899, AREA = 9.91256303526217e-3; // of the lowest layer
    var edges = [AREA / bell(EDGE), EDGE];
    for (var edge = 2; edge < 128; edge++) {
      edges.push(Math.sqrt(-2 * Math.log(AREA / edges[edge - 1] + bell(edges[edge - 1]))));
    }
    edges = Float64Array.from(edges.concat(0));

    function bell(at) {
      return Math.exp(-0.5 * at * at);
    }

    function fillNormal(next, array, count) {
      for (var i = 0; i < count; i++) {
        var bits = next() | 0, layer = bits & 127;
        var value = ((bits >> 7) / 16777216) * edges[layer];
        array[i] = Math.abs(value) < edges[layer + 1] ? value : normalAtEdge(next, value, layer);
      }
    }

    function normalAtEdge(next, value, layer) {
      if (layer === 0) {
        var beyond, above;
        do {
          beyond = -Math.log((next() + 1) / 4294967296) / EDGE;
          above = -Math.log((next() + 1) / 4294967296);
        } while (2 * above < beyond * beyond);
        return value > 0 ? EDGE + beyond : -EDGE - beyond;
      }
      var low = bell(edges[layer]), high = bell(edges[layer + 1]);
      if (low + uniform(next) * (high - low) < bell(value)) return value;
      var one = new Float32Array(1);
      fillNormal(next, one, 1);
      return one[0];
    }

    function shuffle(next, order) {
      for (var i = order.length - 1; i > 0; i--) {
        var j = Math.floor(uniform(next) * (i + 1));
        var kept = order[i];
        order[i] = order[j];
        order[j] = kept;
      }
    }

    // --- data -------------------------------------------------------------------------------------

    // Gaussian data with exactly these eigenvalues, in training and in held-out images: columns that
    // are drawn, and made orthogonal to those before them and to a constant.
    function toy(eigenvalues, seed) {
      var width = eigenvalues.length;
      var next = stream(seed, TOY);
      var parts = TOY_IMAGES.map(function (count) {
        var columns = [new Float64Array(count).fill(1 / Math.sqrt(count))];
        eigenvalues.forEach(function () {
          var column = new Float64Array(count);
          fillNormal(next, column, count);
          columns.forEach(function (other) {
            var along = dot(column, other);
            for (var i = 0; i < count; i++) column[i] -= along * other[i];
          });
          var length = Math.sqrt(dot(column, column));
          for (var i = 0; i < count; i++) column[i] /= length;
          columns.push(column);
        });
        var images = new Float32Array(count * width);
        for (var i = 0; i < count; i++) {
          for (var j = 0; j < width; j++) {
            images[i * width + j] = Math.sqrt(count * eigenvalues[j]) * columns[j + 1][i];
          }
        }
        return images;
      });
      return { pixels: width, scale: 1, train: parts[0], heldOut: parts[1] };
    }

    function dot(a, b) {
      var sum = 0;
      for (var i = 0; i < a.length; i++) sum += a[i] * b[i];
      return sum;
    }

    // --- products ---------------------------------------------------------------------------------

    // Two backends with the same interface. Matrices lie in one memory, row by row, as floats; they
    // are named by the number of their first float. Widths are multiples of 8, heights of 4.

    // c = bias + a b, then max(c, leak c). a is rows x inner, b is inner x columns.
    function plainMultiply(memory, a, b, bias, c, rows, inner, columns, leak) {
      for (var row = 0; row < rows; row += 2) {
        var a0 = a + row * inner, a1 = a0 + inner;
        for (var column = 0; column < columns; column += 4) {
          var at = b + column;
          var c00 = memory[bias + column], c01 = memory[bias + column + 1];
          var c02 = memory[bias + column + 2], c03 = memory[bias + column + 3];
          var c10 = c00, c11 = c01, c12 = c02, c13 = c03;
          for (var k = 0; k < inner; k++, at += columns) {
            var x = memory[a0 + k], y = memory[a1 + k];
            var b0 = memory[at], b1 = memory[at + 1], b2 = memory[at + 2], b3 = memory[at + 3];
            c00 += x * b0;
            c01 += x * b1;
            c02 += x * b2;
            c03 += x * b3;
            c10 += y * b0;
            c11 += y * b1;
            c12 += y * b2;
            c13 += y * b3;
          }
          var to = c + row * columns + column;
          memory[to] = Math.max(c00, leak * c00);
          memory[to + 1] = Math.max(c01, leak * c01);
          memory[to + 2] = Math.max(c02, leak * c02);
          memory[to + 3] = Math.max(c03, leak * c03);
          to += columns;
          memory[to] = Math.max(c10, leak * c10);
          memory[to + 1] = Math.max(c11, leak * c11);
          memory[to + 2] = Math.max(c12, leak * c12);
          memory[to + 3] = Math.max(c13, leak * c13);
        }
      }
    }

    // c = aᵀ b. a is inner x rows, b is inner x columns.
    function plainMultiplyTransposed(memory, a, b, c, rows, inner, columns) {
      for (var row = 0; row < rows; row += 2) {
        for (var column = 0; column < columns; column += 4) {
          var from = a + row, at = b + column;
          var c00 = 0, c01 = 0, c02 = 0, c03 = 0, c10 = 0, c11 = 0, c12 = 0, c13 = 0;
          for (var k = 0; k < inner; k++, from += rows, at += columns) {
            var x = memory[from], y = memory[from + 1];
            var b0 = memory[at], b1 = memory[at + 1], b2 = memory[at + 2], b3 = memory[at + 3];
            c00 += x * b0;
            c01 += x * b1;
            c02 += x * b2;
            c03 += x * b3;
            c10 += y * b0;
            c11 += y * b1;
            c12 += y * b2;
            c13 += y * b3;
          }
          var to = c + row * columns + column;
          memory[to] = c00;
          memory[to + 1] = c01;
          memory[to + 2] = c02;
          memory[to + 3] = c03;
          to += columns;
          memory[to] = c10;
          memory[to + 1] = c11;
          memory[to + 2] = c12;
          memory[to + 3] = c13;
        }
      }
    }

    function plainTranspose(memory, a, c, rows, columns) {
      for (var i = 0; i < rows; i++) {
        for (var j = 0; j < columns; j++) memory[c + j * rows + i] = memory[a + i * columns + j];
      }
    }

    // c = the sum of the rows of a.
    function plainSumRows(memory, a, c, rows, columns) {
      for (var j = 0; j < columns; j++) {
        var sum = 0;
        for (var i = 0; i < rows; i++) sum += memory[a + i * columns + j];
        memory[c + j] = sum;
      }
    }

    // c = c where a > 0, and leak c elsewhere: back through a leaky ReLU, whose output a is.
    function plainThroughLeak(memory, a, c, count, leak) {
      for (var i = 0; i < count; i++) {
        if (!(memory[a + i] > 0)) memory[c + i] *= leak;
      }
    }

    // c = share (sigmoid(a) - x): the gradient of -log P(X|z) by the logits a.
    function plainBernoulliGradient(memory, a, x, c, count, share) {
      for (var i = 0; i < count; i++) {
        memory[c + i] = share * (1 / (1 + Math.exp(-memory[a + i])) - memory[x + i]);
      }
    }

    // For each row of logits a and pixels x, eight numbers into c: four sums of x a - max(a, 0) and
    // four products of 1 + e^-|a|. A number of 32 bits holds a product of 127.
    function plainBernoulliParts(memory, a, x, c, rows, columns) {
      for (var row = 0; row < rows; row++, a += columns, x += columns, c += 8) {
        for (var lane = 0; lane < 4; lane++) {
          var sum = 0, product = 1;
          for (var i = lane; i < columns; i += 4) {
            var logit = memory[a + i];
            sum += memory[x + i] * logit - (logit > 0 ? logit : 0);
            product *= 1 + Math.exp(logit > 0 ? -logit : logit);
          }
          memory[c + lane] = sum;
          memory[c + 4 + lane] = product;
        }
      }
    }

    // A step of Adam [Kingma and Ba 2015]: first and second are the running means of the gradient
    // and of its square; rate and shrink have the corrections for their start at zero.
    function plainAdam(memory, weights, gradient, first, second, count, rate, shrink) {
      for (var i = 0; i < count; i++) {
        var slope = memory[gradient + i];
        var mean = (memory[first + i] += 0.1 * (slope - memory[first + i]));
        var square = (memory[second + i] += 0.001 * (slope * slope - memory[second + i]));
        memory[weights + i] -= (rate * mean) / (Math.sqrt(square) * shrink + 1e-8);
      }
    }

    function plainProducts(floats) {
      var memory = new Float32Array(floats);
      var made = { name: "plain", memory: memory };
      var all = {
        multiply: plainMultiply,
        multiplyTransposed: plainMultiplyTransposed,
        transpose: plainTranspose,
        sumRows: plainSumRows,
        throughLeak: plainThroughLeak,
        bernoulliGradient: plainBernoulliGradient,
        bernoulliParts: plainBernoulliParts,
        adam: plainAdam,
      };
      Object.keys(all).forEach(function (name) { made[name] = all[name].bind(null, memory); });
      return made;
    }

    // products.wat, assembled; null where it is not there, or the browser cannot run it.
    function simdProducts(floats, code) {
      var space, run;
      try {
        space = new WebAssembly.Memory({ initial: Math.ceil(floats / 16384) });
        var bytes = Uint8Array.from(atob(code), function (letter) {
          return letter.charCodeAt(0);
        });
        var module = new WebAssembly.Module(bytes);
        run = new WebAssembly.Instance(module, { engine: { memory: space } }).exports;
      } catch (error) {
        return null;
      }
      return {
        name: "simd",
        memory: new Float32Array(space.buffer),
        multiply: function (a, b, bias, c, rows, inner, columns, leak) {
          run.multiply(4 * a, 4 * b, 4 * bias, 4 * c, rows, inner, columns, leak);
        },
        multiplyTransposed: function (a, b, c, rows, inner, columns) {
          run.multiplyTransposed(4 * a, 4 * b, 4 * c, rows, inner, columns);
        },
        transpose: function (a, c, rows, columns) {
          run.transpose(4 * a, 4 * c, rows, columns);
        },
        sumRows: function (a, c, rows, columns) {
          run.sumRows(4 * a, 4 * c, rows, columns);
        },
        throughLeak: function (a, c, count, leak) {
          run.throughLeak(4 * a, 4 * c, count, leak);
        },
        bernoulliGradient: function (a, x, c, count, share) {
          run.bernoulliGradient(4 * a, 4 * x, 4 * c, count, share);
        },
        bernoulliParts: function (a, x, c, rows, columns) {
          run.bernoulliParts(4 * a, 4 * x, 4 * c, rows, columns);
        },
        adam: function (weights, gradient, first, second, count, rate, shrink) {
          run.adam(4 * weights, 4 * gradient, 4 * first, 4 * second, count, rate, shrink);
        },
      };
    }

    // --- settings ---------------------------------------------------------------------------------

    function require(holds, words) {
      if (!holds) throw new Error(words);
    }

    function isWhole(value, least, most) {
      return Number.isInteger(value) && value >= least && value <= most;
    }

    // All that makes a network, defaults filled in.
    function complete(given) {
      var own = given.data === "toy" ? OF_TOY : {};
      var all = Object.assign({}, FIXED, CHANGEABLE, own, given);
      Object.keys(all).forEach(function (name) {
        require(name in FIXED || name in CHANGEABLE, name + ": there is no such setting");
      });
      require(
        all.hidden.length <= 4 && all.hidden.every(function (n) { return isWhole(n, 1, 512); }),
        "hidden: expected at most four widths from 1 to 512"
      );
      require(isWhole(all.latent, 1, 32), "latent: expected 1 to 32");
      require(all.leak >= 0 && all.leak <= 1, "leak: expected a slope from 0 to 1");
      require(["bernoulli", "gaussian"].includes(all.likelihood), "likelihood: bernoulli or gaussian");
      require(["glorot", "torch"].includes(all.initialisation), "initialisation: glorot or torch");
      require(all.decoderVariance > 0, "decoderVariance: expected a number above 0");
      require(
        isWhole(all.batch, 4, 512) && all.batch % 4 === 0,
        "batch: expected a multiple of 4 up to 512"
      );
      require(isWhole(all.seed, 0, 4294967295), "seed: expected a whole number");
      if (all.data === "toy") {
        require(
          all.eigenvalues.length >= 1 && all.eigenvalues.length <= 64 &&
            all.eigenvalues.every(function (value) { return value >= 0 && value < 1e6; }),
          "eigenvalues: expected up to 64 numbers, none below 0"
        );
        require(all.likelihood === "gaussian", "likelihood: the toy's is gaussian");
      }
      return all;
    }

    function checkChange(name, value, latent) {
      var inside = function (j) { return isWhole(j, 0, latent - 1); };
      require(name in CHANGEABLE, name + ": cannot change while it trains");
      if (name === "beta") require(value >= 0 && value < 1e9, "beta: expected a number, not below 0");
      if (name === "learningRate") require(value > 0 && value < 1, "learningRate: expected 0 to 1");
      if (name === "pace") require(value > 0, "pace: expected a number above 0");
      if (name === "free" || name === "killed") {
        require(value.every(inside), name + ": expected variables from 0 to " + (latent - 1));
      }
      if (name === "revive" && value) {
        require(
          (Array.isArray(value.variables) ? value.variables.every(inside)
            : isWhole(value.variables, 1, latent)) &&
            (value.steps === undefined || isWhole(value.steps, 1, 1e9)),
          "revive: expected variables, or how many, and for how many steps"
        );
      }
      if (name === "path") {
        require(
          value.every(function (pair) { return isWhole(pair[0], 0, 1e9) && pair[1] >= 0; }),
          "path: expected [[step, beta], …]"
        );
      }
    }

    // --- the network --------------------------------------------------------------------------------

    function padded(n, to) {
      return Math.ceil(n / to) * to;
    }

    // `sets` has a set of images by its name: {pixels, scale, train, heldOut, labels}.
    function network(given, sets, code) {
      var settings = complete(given);
      var set = settings.data === "toy"
        ? toy(settings.eigenvalues, settings.seed) : sets[settings.data];
      require(set, settings.data + ": there are no such data");
      require(set.pixels <= 504, settings.data + ": expected at most 504 pixels");
      var pixels = set.pixels, latent = settings.latent;
      var trainCount = set.train.length / pixels, heldOutCount = set.heldOut.length / pixels;
      require(settings.batch <= trainCount, "batch: there are fewer images");
      var capacity = Math.max(settings.batch, CHUNK);

      // The memory, first counted, then there.
      var floats = 0;
      function reserve(count) {
        var at = floats;
        floats += padded(count, 4);
        return at;
      }
      function matrix(columns, parts) {
        var wide = (parts || 1) * padded(columns, 8);
        return { columns: wide, at: reserve(capacity * wide), grad: reserve(capacity * wide) };
      }

      // Layers: `inputs` and `outputs` are widths in memory; `fan` has the true ones. Two heads, for
      // μ and log σ², are one layer with twice the outputs, each part with its own zeros at the end.
      var parameters = [];
      var parameterCount = 0;
      function layer(input, output, fanIn, fanOut, leak) {
        var made = {
          input: input, output: output, leak: leak, fanIn: fanIn, fanOut: fanOut,
          weight: parameterCount, bias: parameterCount + input.columns * output.columns,
        };
        parameterCount = made.bias + output.columns;
        parameters.push(made);
        return made;
      }
      function stack(from, widths, to, fanTo) {
        var fans = widths.slice();
        var inside = widths.slice(1).map(function (width) { return matrix(width); });
        var places = [from].concat(inside, [to]);
        return places.slice(1).map(function (place, depth) {
          var last = depth === places.length - 2;
          return layer(places[depth], place, fans[depth], last ? fanTo : fans[depth + 1],
            last ? 1 : settings.leak);
        });
      }
      var x = matrix(pixels), head = matrix(latent, 2), z = matrix(latent), output = matrix(pixels);
      var wide = z.columns;
      var encoder = stack(x, [pixels].concat(settings.hidden), head, latent);
      var decoder = stack(z, [latent].concat(settings.hidden.slice().reverse()), output, pixels);
      var weightsAt = reserve(parameterCount), gradientAt = reserve(parameterCount);
      var firstAt = reserve(parameterCount), secondAt = reserve(parameterCount);
      var widest = Math.max.apply(null, parameters.map(function (one) {
        return Math.max(one.input.columns, one.output.columns);
      }));
      var zerosAt = reserve(widest);
      var turnedAt = reserve(Math.max.apply(null, parameters.map(function (one) {
        return one.input.columns * one.output.columns;
      })));
      var partsAt = reserve(8 * capacity);
      var trainAt = reserve(trainCount * x.columns), heldOutAt = reserve(heldOutCount * x.columns);

      var products = (!settings.plain && code && simdProducts(floats, code)) || plainProducts(floats);
      var memory = products.memory;
      var allWeights = memory.subarray(weightsAt, weightsAt + parameterCount);
      var allGradients = memory.subarray(gradientAt, gradientAt + parameterCount);
      copySet(set.train, trainAt);
      copySet(set.heldOut, heldOutAt);

      function copySet(images, at) {
        var columns = x.columns;
        for (var from = 0; from < images.length; from += pixels, at += columns) {
          for (var i = 0; i < pixels; i++) memory[at + i] = images[from + i] * set.scale;
        }
      }

      // --- what may change, and what has been done
      var now = {};
      Object.keys(CHANGEABLE).forEach(function (name) { now[name] = settings[name]; });
      var steps = 0;
      var prices = new Float64Array(latent); // the weight of each variable's KL in the last step
      var revivedUntil = new Float64Array(latent);
      var nextOrder = stream(settings.seed, ORDER), nextNoise = stream(settings.seed, NOISE);
      var order = Uint32Array.from({ length: trainCount }, function (_, i) { return i; });
      var orderAt = trainCount; // all used up
      var indices = new Uint32Array(settings.batch);
      var noise = new Float32Array(capacity * latent);
      var measuringNoise = new Float32Array(heldOutCount * latent);
      fillNormal(stream(settings.seed, MEASURING), measuringNoise, measuringNoise.length);
      var priorDraws = new Float32Array(settings.draws * latent);
      fillNormal(stream(settings.seed, DRAWS), priorDraws, priorDraws.length);
      initialise();
      change(now);

      // The first weights, as in Keras or as in PyTorch.
      function initialise() {
        var next = stream(settings.seed, WEIGHTS);
        parameters.forEach(function (one) {
          var parts = one.output === head ? 2 : 1;
          var reach = settings.initialisation === "glorot"
            ? Math.sqrt(6 / (one.fanIn + one.fanOut)) : Math.sqrt(1 / one.fanIn);
          for (var p = 0; p < parts; p++) {
            for (var i = 0; i < one.fanIn; i++) {
              var at = one.weight + i * one.output.columns + p * wide;
              for (var j = 0; j < one.fanOut; j++) allWeights[at + j] = reach * (2 * uniform(next) - 1);
            }
            for (var k = 0; k < one.fanOut && settings.initialisation === "torch"; k++) {
              allWeights[one.bias + p * wide + k] = reach * (2 * uniform(next) - 1);
            }
          }
        });
      }

      // --- forward and back

      function forward(layers, rows) {
        layers.forEach(function (one) {
          products.multiply(one.input.at, weightsAt + one.weight, weightsAt + one.bias, one.output.at,
            rows, one.input.columns, one.output.columns, one.leak);
        });
      }

      // From the gradient of the last output to those of all weights; and of the input, if asked for.
      function backward(layers, rows, toInput) {
        for (var depth = layers.length - 1; depth >= 0; depth--) {
          var one = layers[depth], inputs = one.input.columns, outputs = one.output.columns;
          products.multiplyTransposed(one.input.at, one.output.grad, gradientAt + one.weight,
            inputs, rows, outputs);
          products.sumRows(one.output.grad, gradientAt + one.bias, rows, outputs);
          if (!depth && !toInput) return;
          products.transpose(weightsAt + one.weight, turnedAt, inputs, outputs);
          products.multiply(one.output.grad, turnedAt, zerosAt, one.input.grad,
            rows, outputs, inputs, 1);
          if (depth && settings.leak < 1) {
            products.throughLeak(one.input.at, one.input.grad, rows * inputs, settings.leak);
          }
        }
      }

      // Images by their numbers into the first rows of x; the rows up to a multiple of 4 are black.
      function fillImages(from, numbers, count) {
        var rows = padded(count, 4), columns = x.columns;
        for (var row = 0; row < count; row++) {
          var image = from + numbers[row] * columns;
          memory.copyWithin(x.at + row * columns, image, image + columns);
        }
        memory.fill(0, x.at + count * columns, x.at + rows * columns);
        return rows;
      }

      // μ and log σ² are in `head` then; of what is killed they are those of the prior.
      function encodeRows(rows) {
        forward(encoder, rows);
        now.killed.forEach(function (j) {
          for (var row = 0, at = head.at + j; row < rows; row++, at += 2 * wide) {
            memory[at] = memory[at + wide] = 0;
          }
        });
      }

      // z = μ + σ ε, with or without ε.
      function fillCodes(rows, epsilon, from) {
        for (var row = 0; row < rows; row++) {
          var at = head.at + row * 2 * wide, to = z.at + row * wide, by = from + row * latent;
          for (var j = 0; j < latent; j++) {
            memory[to + j] = memory[at + j];
            if (epsilon) memory[to + j] += Math.exp(0.5 * memory[at + wide + j]) * epsilon[by + j];
          }
        }
      }

      // log P(X|z) of the first rows, from x and the decoder's output, to `each(row, nats)`.
      function likelihoods(count, each) {
        var columns = x.columns, row;
        if (settings.likelihood === "gaussian") {
          var constant = pixels * Math.log(2 * Math.PI * settings.decoderVariance);
          for (row = 0; row < count; row++) {
            var squares = 0, at = x.at + row * columns, to = output.at + row * columns;
            for (var k = 0; k < pixels; k++) squares += (memory[at + k] - memory[to + k]) ** 2;
            each(row, -0.5 * (squares / settings.decoderVariance + constant));
          }
          return;
        }
        // x a - log(1 + e^a). The sum of the logarithms is that of the product: one for an image. A
        // column beyond the last pixel, with a = x = 0, puts a 2 into it.
        products.bernoulliParts(output.at, x.at, partsAt, count, columns);
        var beyond = (columns - pixels) * Math.LN2;
        for (row = 0; row < count; row++) {
          var p = partsAt + 8 * row;
          var sum = memory[p] + memory[p + 1] + memory[p + 2] + memory[p + 3];
          each(row, sum + beyond -
            Math.log(memory[p + 4] * memory[p + 5] * memory[p + 6] * memory[p + 7]));
        }
      }

      // --- training

      function nextBatch() {
        for (var i = 0; i < settings.batch; i++) {
          if (orderAt === trainCount) {
            shuffle(nextOrder, order);
            orderAt = 0;
          }
          indices[i] = order[orderAt++];
        }
      }

      function priceOf(j) {
        return now.free.includes(j) || revivedUntil[j] > steps ? 0 : now.beta;
      }

      function step() {
        now.path.forEach(function (pair) {
          if (pair[0] === steps) now.beta = pair[1];
        });
        for (var j = 0; j < latent; j++) prices[j] = priceOf(j);
        nextBatch();
        fillNormal(nextNoise, noise, settings.batch * latent);
        gradient();
        steps++;
        adam();
      }

      // Of the mean of -log P(X|z) + Σ β KL over the batch, as in vaelib.lab.elbo_gradient.
      function gradient() {
        var rows = fillImages(trainAt, indices, settings.batch);
        encodeRows(rows);
        fillCodes(rows, now.sample && noise, 0);
        forward(decoder, rows);
        outputGradient(rows);
        backward(decoder, rows, true);
        codeGradient(rows);
        backward(encoder, rows, false);
      }

      // (mean - x) / η², for each likelihood.
      function outputGradient(rows) {
        var columns = output.columns, count = rows * columns;
        if (settings.likelihood === "bernoulli") {
          products.bernoulliGradient(output.at, x.at, output.grad, count, 1 / rows);
          for (var row = 0; row < rows; row++) { // beyond the last pixel sigmoid(0) is not 0
            var end = output.grad + row * columns + columns;
            memory.fill(0, end - columns + pixels, end);
          }
          return;
        }
        var share = 1 / rows / settings.decoderVariance;
        for (var i = 0; i < count; i++) {
          memory[output.grad + i] = share * (memory[output.at + i] - memory[x.at + i]);
        }
      }

      function codeGradient(rows) {
        var share = 1 / rows;
        for (var row = 0; row < rows; row++) {
          var at = head.at + row * 2 * wide, to = head.grad + row * 2 * wide;
          var from = z.grad + row * wide, by = row * latent;
          for (var j = 0; j < latent; j++) {
            var sigma = Math.exp(0.5 * memory[at + wide + j]), price = share * prices[j];
            var grad = memory[from + j], drawn = now.sample ? noise[by + j] : 0;
            memory[to + j] = grad + price * memory[at + j];
            memory[to + wide + j] = 0.5 * (grad * sigma * drawn + price * (sigma * sigma - 1));
          }
          for (var k = 0; k < now.killed.length; k++) {
            memory[to + now.killed[k]] = memory[to + wide + now.killed[k]] = 0;
          }
        }
      }

      function adam() {
        var rate = now.learningRate / (1 - Math.pow(0.9, steps));
        var shrink = 1 / Math.sqrt(1 - Math.pow(0.999, steps));
        products.adam(weightsAt, gradientAt, firstAt, secondAt, parameterCount, rate, shrink);
      }

      function change(changes) {
        Object.keys(changes).forEach(function (name) { checkChange(name, changes[name], latent); });
        Object.assign(now, changes);
        if (changes.revive) {
          var chosen = changes.revive.variables;
          if (!Array.isArray(chosen)) chosen = leastVarMu(chosen);
          chosen.forEach(function (j) {
            revivedUntil[j] = steps + (changes.revive.steps || REVIVED_FOR);
          });
          now.killed = now.killed.filter(function (j) { return !chosen.includes(j); });
        }
        now.revive = null;
      }

      function leastVarMu(count) {
        var varMu = latentStatistics(encodeSet()).varMu;
        var variables = varMu.map(function (_, j) { return j; });
        variables.sort(function (i, j) { return varMu[i] - varMu[j] || i - j; });
        return variables.slice(0, count);
      }

      // The mean loss of the last batch, before its step, in nats; as long as nothing is measured.
      function loss() {
        var sum = 0;
        likelihoods(settings.batch, function (row, nats) {
          var at = head.at + row * 2 * wide;
          sum -= nats;
          for (var j = 0; j < latent; j++) sum += prices[j] * kl(memory[at + j], memory[at + wide + j]);
        });
        return sum / settings.batch;
      }

      // --- measuring

      function kl(mu, logvar) {
        return 0.5 * (mu * mu + Math.expm1(logvar) - logvar);
      }

      // Call `each(row, image)` for some images of a set, a chunk at a time, after `work(rows, first)`.
      function inChunks(count, fill, work, each) {
        for (var from = 0; from < count; from += CHUNK) {
          var some = Math.min(CHUNK, count - from);
          work(fill(from, some), from);
          for (var row = 0; row < some; row++) each(row, from + row);
        }
      }

      function fillHeldOut(from, count) {
        var numbers = [];
        for (var i = 0; i < count; i++) numbers.push(from + i);
        return fillImages(heldOutAt, numbers, count);
      }

      function encodeSet() {
        var mu = new Float32Array(heldOutCount * latent), logvar = new Float32Array(mu.length);
        inChunks(heldOutCount, fillHeldOut, encodeRows, function (row, image) {
          copyCodes(row, mu, logvar, image * latent);
        });
        return { mu: mu, logvar: logvar, count: heldOutCount };
      }

      function copyCodes(row, mu, logvar, to) {
        for (var j = 0; j < latent; j++) {
          mu[to + j] = memory[head.at + row * 2 * wide + j];
          logvar[to + j] = memory[head.at + row * 2 * wide + wide + j];
        }
      }

      function latentStatistics(codes) {
        var found = { varMu: [], meanSigma2: [], kl: [], mean: [] };
        for (var j = 0; j < latent; j++) {
          var sum = 0, squares = 0, sigma2 = 0, nats = 0;
          for (var i = 0; i < codes.count; i++) sum += codes.mu[i * latent + j];
          var mean = sum / codes.count;
          for (var k = 0; k < codes.count; k++) {
            var mu = codes.mu[k * latent + j], logvar = codes.logvar[k * latent + j];
            squares += (mu - mean) * (mu - mean);
            sigma2 += Math.exp(logvar);
            nats += kl(mu, logvar);
          }
          found.varMu.push(squares / codes.count);
          found.meanSigma2.push(sigma2 / codes.count);
          found.kl.push(nats / codes.count);
          found.mean.push(mean);
        }
        return found;
      }

      // Nats lost, for each variable, when its mean stands in its place.
      function gains(count, mean, epsilon) {
        var lost = new Float64Array(latent), whole = new Float64Array(count);
        inChunks(count, fillHeldOut, function (rows, from) {
          encodeRows(rows);
          var some = Math.min(CHUNK, count - from);
          for (var j = -1; j < latent; j++) {
            fillCodes(rows, epsilon, from * latent);
            for (var row = 0; j >= 0 && row < rows; row++) memory[z.at + row * wide + j] = mean[j];
            forward(decoder, rows);
            likelihoods(some, function (r, nats) {
              if (j < 0) whole[from + r] = nats;
              else lost[j] += whole[from + r] - nats;
            });
          }
        }, function () {});
        return Array.from(lost, function (nats) { return nats / count; });
      }

      function meanLikelihood() {
        var sum = 0;
        inChunks(heldOutCount, fillHeldOut, function (rows, from) {
          encodeRows(rows);
          fillCodes(rows, now.sample && measuringNoise, from * latent);
          forward(decoder, rows);
          likelihoods(Math.min(CHUNK, heldOutCount - from), function (_, nats) { sum += nats; });
        }, function () {});
        return sum / heldOutCount;
      }

      function measure() {
        var codes = encodeSet(), found = latentStatistics(codes);
        var gainCount = Math.min(settings.gainImages, heldOutCount);
        var some = latentStatistics({ mu: codes.mu, logvar: codes.logvar, count: gainCount });
        var gain = gains(gainCount, some.mean, null);
        var price = found.kl.reduce(function (a, b) { return a + b; }, 0);
        var nats = meanLikelihood();
        var measured = {
          step: steps,
          beta: now.beta,
          sample: now.sample,
          free: now.free.slice(),
          killed: now.killed.slice(),
          revived: Array.from(revivedUntil.keys()).filter(function (j) {
            return revivedUntil[j] > steps;
          }),
          klWeights: found.kl.map(function (_, j) { return priceOf(j); }),
          varMu: found.varMu,
          meanSigma2: found.meanSigma2,
          kl: found.kl,
          gain: gain,
          noisyGain: gains(gainCount, some.mean, measuringNoise),
          used: gain.filter(function (value) { return value > USED; }).length,
          active: found.varMu.filter(function (value) { return value > ACTIVE; }).length,
          likelihood: nats,
          price: price,
          elbo: nats - price,
          finite: Number.isFinite(nats - price),
          backend: products.name,
          pixels: pixels,
        };
        if (settings.pictures) {
          var shown = shownImages();
          measured.images = pictures(shown);
          measured.reconstructions = decode(encode(measured.images).mu);
        }
        if (settings.draws) measured.draws = decode(priorDraws);
        return measured;
      }

      // One held-out image of each label, in turn.
      function shownImages() {
        var labels = set.labels || new Uint8Array(heldOutCount), rounds = [], seen = {};
        for (var i = 0; i < heldOutCount; i++) {
          var round = seen[labels[i]] = (seen[labels[i]] || 0) + 1;
          rounds.push({ image: i, order: round * 1000 + labels[i] });
        }
        rounds.sort(function (a, b) { return a.order - b.order; });
        return rounds.slice(0, settings.pictures).map(function (one) { return one.image; });
      }

      function pictures(numbers) {
        var images = new Float32Array(numbers.length * pixels);
        numbers.forEach(function (number, place) {
          for (var i = 0; i < pixels; i++) {
            images[place * pixels + i] = set.heldOut[number * pixels + i] * set.scale;
          }
        });
        return images;
      }

      function encode(images) {
        var count = images.length / pixels;
        var mu = new Float32Array(count * latent), logvar = new Float32Array(mu.length);
        inChunks(count, function (from, some) {
          copyRows(images, from, some, pixels, x);
          return padded(some, 4);
        }, encodeRows, function (row, image) { copyCodes(row, mu, logvar, image * latent); });
        return { mu: mu, logvar: logvar };
      }

      // Means of the pixels.
      function decode(codes) {
        var count = codes.length / latent, means = new Float32Array(count * pixels);
        inChunks(count, function (from, some) {
          copyRows(codes, from, some, latent, z);
          return padded(some, 4);
        }, function (rows) { forward(decoder, rows); }, function (row, place) {
          for (var i = 0; i < pixels; i++) {
            var value = memory[output.at + row * output.columns + i];
            means[place * pixels + i] =
              settings.likelihood === "bernoulli" ? 1 / (1 + Math.exp(-value)) : value;
          }
        });
        return means;
      }

      function copyRows(array, from, count, width, place) {
        for (var row = 0; row < count; row++) {
          memory.set(array.subarray((from + row) * width, (from + row + 1) * width),
            place.at + row * place.columns);
        }
      }

      // True widths, without the zeros: [{name, inputs, outputs, weight, bias}, …], as in vaelib, but
      // for the weights, which have a row for each input.
      function unpadded(values) {
        var named = [];
        parameters.forEach(function (one) {
          var side = encoder.includes(one) ? "encoder" : "decoder";
          var names = one.output === head ? ["mu", "logvar"] : [side];
          names.forEach(function (name, p) {
            var weight = new Float32Array(one.fanIn * one.fanOut);
            var columns = one.output.columns;
            for (var i = 0; i < one.fanIn; i++) {
              var at = one.weight + i * columns + p * wide;
              weight.set(values.subarray(at, at + one.fanOut), i * one.fanOut);
            }
            var bias = values.slice(one.bias + p * wide, one.bias + p * wide + one.fanOut);
            named.push({
              name: name, inputs: one.fanIn, outputs: one.fanOut, weight: weight, bias: bias,
            });
          });
        });
        return named;
      }

      return {
        settings: settings,
        now: now,
        step: step,
        loss: loss,
        change: change,
        measure: measure,
        encode: encode,
        decode: decode,
        steps: function () { return steps; },
        weights: function () { return unpadded(allWeights); },
        gradients: function () { return unpadded(allGradients); },
        batch: function () {
          return { indices: indices.slice(), noise: noise.slice(0, settings.batch * latent) };
        },
        bytes: 4 * floats,
        backend: products.name,
      };
    }

    // --- the worker ---------------------------------------------------------------------------------

    var SLICE = 25; // ms of training between looks at what has been asked for

    // Answers messages {id, verb, ...}: by {id, reply} or {id, error}; and sends {measured} unasked.
    function serve(scope, code) {
      var sets = {}, current = null, playing = null, channel = new MessageChannel();
      var perSecond = 0;
      channel.port1.onmessage = playOn;

      function measured() {
        var found = current.measure();
        found.playing = !!playing;
        found.perSecond = perSecond;
        return found;
      }

      function show(found) {
        scope.postMessage({ measured: found });
        return found;
      }

      function stop() {
        if (!playing) return null;
        var ended = playing;
        playing = null;
        var found = show(measured());
        scope.postMessage({ id: ended.id, reply: found });
        return found;
      }

      function play(id, until) {
        playing = { id: id, until: until, from: current.steps(), shown: performance.now(), trained: 0 };
        keepPace();
        channel.port2.postMessage(0);
      }

      // Steps are due from now on.
      function keepPace() {
        playing.due = { from: current.steps(), since: performance.now() };
      }

      function due() {
        if (current.now.pace === Infinity) return playing.until;
        var passed = (performance.now() - playing.due.since) / 1000;
        return Math.min(playing.until, playing.due.from + passed * current.now.pace);
      }

      // One slice of training. Between slices messages are heard: a message to oneself waits for none.
      function playOn() {
        if (!playing) return;
        var began = performance.now(), time = began, from = current.steps();
        var until = due();
        while (current.steps() < until && time - began < SLICE) {
          current.step();
          time = performance.now();
        }
        playing.trained += time - began;
        var done = current.steps() - playing.from;
        if (playing.trained > 0) perSecond = (1000 * done) / playing.trained;
        if (current.steps() >= playing.until) return stop();
        if (time - playing.shown >= current.now.interval) {
          var found = show(measured());
          playing.shown = performance.now();
          if (!found.finite) return stop();
        }
        if (current.steps() === from) setTimeout(playOn, 5); // slower is asked for
        else channel.port2.postMessage(0);
      }

      var verbs = {
        data: function (message) { sets[message.name] = message.set; },
        create: function (message) {
          stop();
          current = network(message.settings, sets, code);
          return show(measured());
        },
        reset: function (message) {
          stop();
          require(current, "reset: there is no network");
          // As it is set now; but a path of β begins where it began.
          var kept = Object.assign({}, current.settings, current.now);
          if (kept.path.length) kept.beta = current.settings.beta;
          current = network(Object.assign(kept, message.settings), sets, code);
          return show(measured());
        },
        set: function (message) {
          current.change(message.changes);
          if (!playing) return show(measured());
          if ("pace" in message.changes) keepPace();
        },
        pause: function () { return stop() || measured(); },
        measure: function () { return show(measured()); },
        decode: function (message) { return current.decode(message.codes); },
        encode: function (message) { return current.encode(message.images); },
      };

      function hear(message) {
        try {
          require(current || message.verb === "create" || message.verb === "data",
            message.verb + ": there is no network yet");
          if (message.verb === "play" || message.verb === "step") {
            stop();
            var until = message.verb === "play" ? message.until : current.steps() + message.count;
            return play(message.id, until === undefined ? Infinity : until);
          }
          scope.postMessage({ id: message.id, reply: verbs[message.verb](message) });
        } catch (error) {
          scope.postMessage({ id: message.id, error: error.message });
        }
      }
      return hear;
    }

    return { network: network, serve: serve, stream: stream, fillNormal: fillNormal };
  }

  var here = library(USED, ACTIVE);

  function products() {
    return typeof EngineProducts === "undefined" ? "" : EngineProducts;
  }

  // A worker made of the library's own text: a page from disk may not load one from a file. Where
  // there are no workers at all, the page does the work itself, slice by slice.
  function start(listen) {
    var words = [JSON.stringify(USED), JSON.stringify(ACTIVE)].join(", ");
    var text = "var hear = (" + library + ")(" + words + ").serve(self, " +
      JSON.stringify(products()) + ");\nonmessage = function (event) { hear(event.data); };";
    try {
      var address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
      var worker = new Worker(address);
      URL.revokeObjectURL(address);
      worker.onmessage = function (event) { listen(event.data); };
      return {
        tell: function (message) { worker.postMessage(message); },
        end: function () { worker.terminate(); },
      };
    } catch (error) {
      var ended = false;
      var hear = here.serve({
        postMessage: function (message) {
          setTimeout(function () { if (!ended) listen(message); });
        },
      }, products());
      return {
        tell: function (message) { setTimeout(function () { hear(message); }); },
        end: function () { hear({ verb: "pause" }); ended = true; },
      };
    }
  }

  function open(show) {
    var waiting = {}, ids = 0;
    var worker = start(function (message) {
      if (message.measured) {
        if (show) show(message.measured);
        return;
      }
      var promise = waiting[message.id];
      delete waiting[message.id];
      if (!promise) return;
      if ("error" in message) promise.reject(new Error(message.error));
      else promise.resolve(message.reply);
    });

    function ask(verb, more) {
      return new Promise(function (resolve, reject) {
        var id = ++ids;
        waiting[id] = { resolve: resolve, reject: reject };
        worker.tell(Object.assign({ id: id, verb: verb }, more));
      });
    }

    return {
      data: function (name, set) { return ask("data", { name: name, set: set }); },
      create: function (settings) { return ask("create", { settings: settings || {} }); },
      reset: function (settings) { return ask("reset", { settings: settings || {} }); },
      play: function (options) { return ask("play", options || {}); },
      pause: function () { return ask("pause"); },
      step: function (count) { return ask("step", { count: count || 1 }); },
      set: function (changes) { return ask("set", { changes: changes }); },
      measure: function () { return ask("measure"); },
      decode: function (codes) { return ask("decode", { codes: Float32Array.from(codes) }); },
      encode: function (images) { return ask("encode", { images: Float32Array.from(images) }); },
      close: function () { worker.end(); },
    };
  }

  // The images of engine-glyphs.data.js: two pixels of four bits in each byte.
  function glyphs(packed) {
    function images(part) {
      var bytes = Explorables.numbers(part), count = bytes.length * 2 / packed.pixels;
      var levels = new Uint8Array(count * packed.pixels);
      for (var i = 0; i < bytes.length; i++) {
        // The upper half of a byte is a pixel, the lower half the one below it.
        var image = Math.floor((2 * i) / packed.pixels), place = i - (image * packed.pixels) / 2;
        var row = Math.floor(place / packed.side), column = place % packed.side;
        var at = image * packed.pixels + 2 * row * packed.side + column;
        levels[at] = (bytes[i] >> 4) & 15;
        levels[at + packed.side] = bytes[i] & 15;
      }
      return levels;
    }
    return {
      pixels: packed.pixels,
      scale: 1 / 15,
      train: images(packed.train),
      heldOut: images(packed.heldOut),
      labels: Explorables.numbers(packed.labels),
    };
  }

  // What a linear VAE does with each eigenvalue at its optimum, as vaelib.linear_vae_optimum.
  function linearOptimum(eigenvalues, decoderVariance, beta) {
    var level = decoderVariance * beta;
    return eigenvalues.map(function (value) {
      var above = Math.max(value, level) / level;
      return { varMu: 1 - 1 / above, sigma2: 1 / above, kl: 0.5 * Math.log(above) };
    });
  }

  return {
    USED: USED,
    ACTIVE: ACTIVE,
    open: open,
    glyphs: glyphs,
    linearOptimum: linearOptimum,
    network: function (settings, sets) { return here.network(settings, sets, products()); },
    stream: here.stream,
    fillNormal: here.fillNormal,
  };
})();
