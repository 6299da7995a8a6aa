// node node_runtime.mjs bundle/ image.png ...: prints a JSON list of labels.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import ort from "onnxruntime-node";
import sharp from "sharp";

const [bundle, ...files] = process.argv.slice(2);
// Pixels, tensors and labels are the page's own: only decoding and the runtime are others than in a browser.
const { Model } = await import(pathToFileURL(resolve(bundle, "web", "model.mjs")));
const manifest = JSON.parse(readFileSync(resolve(bundle, "bundle.json")));
const session = await ort.InferenceSession.create(resolve(bundle, "model.onnx"), { logSeverityLevel: 3 });
const model = new Model(ort, session, manifest);
const labels = [];
for (const file of files) {
  const image = sharp(file).rotate().toColorspace("srgb").ensureAlpha(); // turned as EXIF says
  const { data: pixels, info } = await image.raw().toBuffer({ resolveWithObject: true });
  const { label } = await model.answer({ pixels, width: info.width, height: info.height });
  labels.push(label);
}
console.log(JSON.stringify(labels));
