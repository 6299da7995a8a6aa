// Decoded pixels -> what the graph takes, as bundle.json's "preprocess" says: Pillow's own values, bit for bit.
//
// It needs no browser: Node.js may import it too.
//
// Each output value is a weighted mean of the input values under a filter, which is stretched by the scale when an image
// shrinks (so that it averages all that it covers), and whose weights are made to sum to 1. Along rows first, rounded
// to 8 bits, then along columns. The filters: a triangle; R. G. Keys' cubic with a = -1/2 ("Cubic convolution
// interpolation for digital image processing", IEEE Trans. ASSP 29, 1981, eq. 4); Lanczos' window of 3 lobes
// (C. E. Duchon, "Lanczos filtering in one and two dimensions", J. Appl. Meteor. 18, 1979).

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const FILTERS = {
  bilinear: { reach: 1, at: (x) => 1 - Math.abs(x) },
  bicubic: { reach: 2, at: (x) => keys(Math.abs(x)) },
  lanczos: { reach: 3, at: (x) => sinc(x) * sinc(x / 3) },
};
const FRACTION = 22; // bits of a weight, as in Pillow
const HALF = 1 << (FRACTION - 1);
const NEAR = 8; // levels within which nothing can be told from the background
const IMAGENET_MEAN = [0.485, 0.456, 0.406];

/**
 * Resize and crop, squash or pad.
 *
 * @param {Uint8Array | Uint8ClampedArray} pixels width * height pixels, row by row.
 * @param {number} width
 * @param {number} height
 * @param {object} preprocess size, resize, fit, interpolation and mean, as bundle.json has them.
 * @returns {Uint8Array} size * size pixels of 3 bytes, row by row.
 */
export function prepare(pixels, width, height, preprocess) {
  const { size, fit, interpolation } = preprocess;
  const opaque = layOnPlain(pixels, width * height);
  const image = { values: opaque, bands: opaque.length / (width * height), width, height };
  const [left, upper, right, lower] = boxOf(width, height, preprocess);
  let across = size, down = size;
  if (fit === "pad") {
    const scale = size / Math.max(width, height);
    [across, down] = [width, height].map((side) => Math.max(1, roundHalfToEven(side * scale)));
  }
  // Rows that no column needs are left out: they change nothing.
  const columns = weigh(interpolation, height, upper, lower, down);
  const rows = weigh(interpolation, width, left, right, across);
  const resized = alongColumns(alongRows(image, rows, columns), columns);
  return fit === "pad" ? pad(resized, across, down, size, preprocess.mean || IMAGENET_MEAN) : resized;
}

/** The part of the image that is used. */
function boxOf(width, height, { size, resize, fit }) {
  if (fit === "pad") return [0, 0, width, height];
  const sides = fit === "squash" ? [width, height] : [Math.min(width, height), Math.min(width, height)];
  const [across, down] = sides.map((side) => (side * size) / (resize || size));
  const [left, upper] = [(width - across) / 2, (height - down) / 2];
  return [left, upper, left + across, upper + down];
}

/** For each place of the output: where its input begins, and the weights of what follows. */
function weigh(interpolation, length, from, to, n) {
  // Pillow's box is of 32-bit floats.
  [from, to] = [Math.fround(from), Math.fround(to)];
  const scale = Math.fround(to - from) / n;
  if (interpolation === "nearest") {
    const first = [];
    for (let i = 0, place = from + scale * 0.5; i < n; i++, place += scale) first.push(Math.trunc(place));
    return first.map((start) => ({ start, weights: Int32Array.of(1 << FRACTION) }));
  }
  const { reach, at } = FILTERS[interpolation];
  const stretch = Math.max(scale, 1);
  const entries = [];
  for (let i = 0; i < n; i++) {
    const center = from + (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - reach * stretch + 0.5));
    const end = Math.min(length, Math.trunc(center + reach * stretch + 0.5));
    const weights = [];
    let sum = 0;
    for (let j = start; j < end; j++) {
      const x = (j - center + 0.5) * (1 / stretch);
      weights.push(Math.abs(x) < reach ? at(x) : 0);
      sum += weights[weights.length - 1];
    }
    entries.push({ start, weights: Int32Array.from(weights, (weight) => toInteger(sum ? weight / sum : weight)) });
  }
  return entries;
}

const toInteger = (weight) => Math.trunc(weight * (1 << FRACTION) + (weight < 0 ? -0.5 : 0.5));

function keys(x) {
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

function alongRows({ values, bands, width }, places, columns) {
  const first = Math.min(...columns.map(({ start }) => start));
  const end = Math.max(...columns.map(({ start, weights }) => start + weights.length));
  const across = places.length;
  const out = new Uint8ClampedArray((end - first) * across * 3);
  for (let row = first, to = 0; row < end; row++) {
    for (const { start, weights } of places) {
      let red = HALF, green = HALF, blue = HALF;
      for (let j = 0, at = (row * width + start) * bands; j < weights.length; j++, at += bands) {
        red = (red + Math.imul(weights[j], values[at])) | 0;
        green = (green + Math.imul(weights[j], values[at + 1])) | 0;
        blue = (blue + Math.imul(weights[j], values[at + 2])) | 0;
      }
      out[to++] = red >> FRACTION;
      out[to++] = green >> FRACTION;
      out[to++] = blue >> FRACTION;
    }
  }
  return { values: out, first, across };
}

function alongColumns({ values, first, across }, places) {
  const out = new Uint8ClampedArray(places.length * across * 3);
  for (let row = 0; row < places.length; row++) {
    const { start, weights } = places[row];
    for (let i = 0; i < across * 3; i++) {
      let sum = HALF;
      for (let j = 0, at = (start - first) * across * 3 + i; j < weights.length; j++, at += across * 3) {
        sum = (sum + Math.imul(weights[j], values[at])) | 0;
      }
      out[row * across * 3 + i] = sum >> FRACTION;
    }
  }
  return new Uint8Array(out.buffer);
}

function pad(values, across, down, size, mean) {
  const color = mean.map((level) => roundHalfToEven(255 * level));
  const out = new Uint8Array(size * size * 3).map((_, i) => color[i % 3]);
  const left = (size - across) >> 1, upper = (size - down) >> 1;
  for (let row = 0; row < down; row++) {
    out.set(values.subarray(row * across * 3, (row + 1) * across * 3), ((upper + row) * size + left) * 3);
  }
  return out;
}

/** As Python rounds. */
function roundHalfToEven(x) {
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low % 2) : Math.round(x);
}

/** Lay what is transparent on white; on black what cannot be seen on white. Pixels are of 3 or 4 bytes. */
function layOnPlain(pixels, n) {
  if (pixels.length === 3 * n) return pixels;
  let transparent = false;
  for (let at = 3; at < pixels.length && !transparent; at += 4) transparent = pixels[at] < 255;
  if (!transparent) return pixels;
  const white = lay(pixels, n, 255);
  if (white.every((value) => value >= 255 - NEAR)) {
    const black = lay(pixels, n, 0);
    if (black.some((value) => value > NEAR)) return black;
  }
  return white;
}

function lay(pixels, n, level) {
  const out = new Uint8Array(3 * n);
  for (let i = 0; i < n; i++) {
    const alpha = pixels[4 * i + 3];
    for (let band = 0; band < 3; band++) {
      out[3 * i + band] = Math.round((pixels[4 * i + band] * alpha + level * (255 - alpha)) / 255);
    }
  }
  return out;
}
