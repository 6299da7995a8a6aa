// node node_runtime.mjs model.onnx pixels.bin 224: prints a JSON list of labels.
import { readFileSync } from "node:fs";
import ort from "onnxruntime-node";

const [graph, file, side] = process.argv.slice(2);
const size = Number(side);
const pixels = new Uint8Array(readFileSync(file));
const bytes = size * size * 3;

const session = await ort.InferenceSession.create(graph, { logSeverityLevel: 3 });
const labels = [];
for (let start = 0; start < pixels.length; start += 16 * bytes) {
  const batch = pixels.subarray(start, start + 16 * bytes);
  const image = new ort.Tensor("uint8", batch, [batch.length / bytes, size, size, 3]);
  const { label } = await session.run({ [session.inputNames[0]]: image }, ["label"]);
  labels.push(...Array.from(label.data, (value) => (typeof value === "bigint" ? Number(value) : value)));
}
console.log(JSON.stringify(labels));
