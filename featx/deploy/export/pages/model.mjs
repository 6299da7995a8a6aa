// A bundle's graph and manifest -> answers, with ONNX Runtime Web in a browser or onnxruntime-node in Node.js.
import { prepare } from "./pixels.mjs";

export class Model {
  /**
   * @param {object} ort The module of ONNX Runtime.
   * @param {object} session Its session with model.onnx.
   * @param {object} manifest The content of bundle.json.
   */
  constructor(ort, session, manifest) {
    this.ort = ort;
    this.session = session;
    this.manifest = manifest;
    this.input = manifest.inputs[0];
    // Of several outputs labels are the answer, as everywhere.
    const wanted = ["label", "embedding", ...(manifest.width === undefined ? ["probabilities"] : [])];
    this.names = wanted.filter((name) => session.outputNames.includes(name));
  }

  /**
   * Answer one image.
   *
   * @param {{pixels: Uint8Array | Uint8ClampedArray, width: number, height: number}} image Pixels of 3 or 4 bytes.
   * @returns {Promise<{label, probabilities: object | null, embedding: Float32Array}>} The label is a list of several
   *   outputs; the probabilities come by class, as pairs.
   */
  async answer({ pixels, width, height }) {
    const { tensor, absent, preprocess } = this.input;
    const { size } = preprocess;
    const prepared = prepare(pixels, width, height, preprocess);
    const feeds = { [tensor]: new this.ort.Tensor("uint8", prepared, [1, size, size, 3]) };
    if (absent) feeds[absent] = new this.ort.Tensor("bool", [false], [1, 1]);
    const outputs = await this.session.run(feeds, this.names);
    const embedding = outputs.embedding.data;
    if (!embedding.every(Number.isFinite)) throw new Error("NaN or infinite numbers from the network");
    const labels = Array.from(outputs.label.data, (raw) => this.label(raw));
    return {
      label: this.manifest.width === undefined ? labels[0] : labels,
      probabilities: outputs.probabilities
        ? this.manifest.classes.values.map((name, i) => [name, outputs.probabilities.data[i]])
        : null,
      embedding,
    };
  }

  /** What the graph's label stands for: a 64-bit integer there is a number here, and may stand for a boolean. */
  label(raw) {
    if (typeof raw === "string") return raw;
    return this.manifest.dtype === "|b1" ? Boolean(raw) : Number(raw);
  }
}
