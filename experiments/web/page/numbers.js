// Arrays in, arrays out: weights unpacked, layers, chance. No page, no clock.
(function (own) {
  "use strict";

  const EPSILON = 1e-6; // of every norm
  const LIVELY = 10; // as in networks/atlas_reader.py
  const KINDS = { u1: Uint8Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array, f4: Float32Array };

  function fromBase64(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const letters = atob(text);
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
    return bytes;
  }

  // Straight into one array of a known size: by way of a Blob the bytes would
  // travel to another process and back.
  async function inflate(bytes, size) {
    const stream = new DecompressionStream("deflate");
    const writer = stream.writable.getWriter();
    const written = writer.write(bytes).then(() => writer.close());
    written.catch(() => {}); // the reader is told the same
    const reader = stream.readable.getReader();
    const found = new Uint8Array(size);
    let at = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length > size) throw new Error(`weights: over ${size} bytes`);
      found.set(value, at);
      at += value.length;
    }
    if (at !== size) throw new Error(`weights: ${at} bytes, expected ${size}`);
    return found;
  }

  // What each of the 65,536 float16 stands for.
  function halves() {
    const table = new Float32Array(1 << 16);
    for (let bits = 0; bits < table.length; bits++) {
      const sign = bits >> 15 ? -1 : 1;
      const exponent = (bits >> 10) & 31;
      const rest = bits & 1023;
      if (exponent === 31) table[bits] = NaN; // never written
      else if (exponent === 0) table[bits] = sign * rest * 2 ** -24;
      else table[bits] = sign * (1 + rest / 1024) * 2 ** (exponent - 15);
    }
    return table;
  }

  const countOf = (shape) => shape.reduce((a, b) => a * b, 1);

  // Name -> array, from base64 of compressed bytes. Of numbers with several
  // bytes all first bytes come first, then all second ones: they pack better.
  own.unpack = async (packed) => {
    const size = packed.arrays.reduce((sum, { kind, shape }) => sum + countOf(shape) * Number(kind[1]), 0);
    const bytes = await inflate(fromBase64(packed.data), size);
    const half = halves();
    const found = {};
    let at = 0;
    for (const { name, kind, shape } of packed.arrays) {
      const count = countOf(shape);
      const wide = Number(kind[1]);
      const planes = bytes.subarray(at, at + count * wide);
      at += count * wide;
      const values = kind === "f2" ? widened(planes, count, half) : joined(planes, count, kind);
      found[name] = { values, shape };
    }
    return found;
  };

  // Float16 from their low bytes and their high ones, in one go.
  function widened(planes, count, half) {
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = half[planes[i] | (planes[count + i] << 8)];
    return values;
  }

  function joined(planes, count, kind) {
    const wide = Number(kind[1]);
    const raw = new Uint8Array(count * wide);
    for (let b = 0; b < wide; b++) {
      const plane = planes.subarray(b * count, (b + 1) * count);
      for (let i = 0, j = b; i < count; i++, j += wide) raw[j] = plane[i];
    }
    return new KINDS[kind](raw.buffer);
  }

  // A dense layer's sum, begun with its bias: [in] x [in, out] -> [out].
  own.begin = (outputs, bias) => {
    const total = new Float64Array(outputs);
    if (bias) total.set(bias.values);
    return total;
  };

  // Adds numbers times the rows of a kernel that begin at `first`.
  own.addDense = (total, kernel, x, first = 0) => {
    const w = kernel.values;
    const n = total.length;
    const rows = new Int32Array(x.length);
    let used = 0;
    for (let i = 0; i < x.length; i++) if (x[i] !== 0) rows[used++] = i;
    let k = 0;
    for (; k + 3 < used; k += 4) { // four rows at once: fewer loads of the sum
      const [i0, i1, i2, i3] = [rows[k], rows[k + 1], rows[k + 2], rows[k + 3]];
      const x0 = x[i0], x1 = x[i1], x2 = x[i2], x3 = x[i3];
      const a = (first + i0) * n, b = (first + i1) * n, c = (first + i2) * n, d = (first + i3) * n;
      for (let j = 0; j < n; j++) {
        total[j] += x0 * w[a + j] + x1 * w[b + j] + x2 * w[c + j] + x3 * w[d + j];
      }
    }
    for (; k < used; k++) {
      const value = x[rows[k]];
      const a = (first + rows[k]) * n;
      for (let j = 0; j < n; j++) total[j] += value * w[a + j];
    }
    return total;
  };

  // Adds the rows of a kernel at which one-hots are 1.
  own.addRows = (total, kernel, rows) => {
    const w = kernel.values;
    const n = total.length;
    for (const row of rows) {
      const a = row * n;
      for (let j = 0; j < n; j++) total[j] += w[a + j];
    }
    return total;
  };

  own.sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const silu = (x) => x / (1 + Math.exp(-x));

  own.silu = (x) => {
    for (let i = 0; i < x.length; i++) x[i] = silu(x[i]);
    return x;
  };

  // RMSNorm of each run of `scale.length` numbers, in place.
  own.norm = (x, scale) => {
    const w = scale.values;
    const n = w.length;
    for (let start = 0; start < x.length; start += n) {
      let squares = 0;
      for (let i = 0; i < n; i++) squares += x[start + i] ** 2;
      const by = 1 / Math.sqrt(squares / n + EPSILON);
      for (let i = 0; i < n; i++) x[start + i] *= by * w[i];
    }
    return x;
  };

  // Learned vectors of cells, through the layer that reads them.
  own.cellVectors = (vectors, kernel) => {
    const [cells, units] = vectors.shape;
    const outputs = kernel.shape[1];
    const made = new Float32Array(cells * outputs);
    for (let cell = 0; cell < cells; cell++) {
      const x = vectors.values.subarray(cell * units, (cell + 1) * units);
      const total = own.addDense(own.begin(outputs), kernel, x);
      for (let j = 0; j < outputs; j++) made[cell * outputs + j] = LIVELY * total[j];
    }
    return made;
  };

  own.largest = (x, start = 0, stop = x.length) => {
    let best = start;
    for (let i = start + 1; i < stop; i++) if (x[i] > x[best]) best = i;
    return best - start;
  };

  // Probabilities of logits, in place of nothing.
  own.softmax = (x, start = 0, stop = x.length) => {
    const most = x[start + own.largest(x, start, stop)];
    const found = new Float64Array(stop - start);
    let total = 0;
    for (let i = 0; i < found.length; i++) total += found[i] = Math.exp(x[start + i] - most);
    for (let i = 0; i < found.length; i++) found[i] /= total;
    return found;
  };

  // The class that a uniform number falls into.
  own.draw = (probs, uniform) => {
    let left = uniform;
    for (let i = 0; i < probs.length; i++) {
      left -= probs[i];
      if (left < 0) return i;
    }
    return own.largest(probs); // rounding
  };

  // Uniform numbers of one step: of luck and step alone (mulberry32).
  own.chance = (luck, step) => {
    let a = (Math.imul(luck ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(step + 1, 0xc2b2ae35)) | 0;
    return () => {
      a = (a + 0x6d2b79f5) | 0;
      let t = Math.imul(a ^ (a >>> 15), 1 | a);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  };
})((globalThis.PokeDreamer ??= {}));
