// The page: an image that is chosen, dropped or pasted -> the model's answer, computed in the browser.
import { counted, empty, find, item, purpose, say, takeFiles, time } from "./answers.mjs";
import { Model } from "./model.mjs";

const RUNTIME = "./onnxruntime-web/ort.wasm.min.mjs";

/** The model, once it is loaded. */
export const opened = open();

async function open() {
  const [manifest, graph] = await Promise.all([
    get("../bundle.json").then((response) => response.json()),
    get("../model.onnx").then((response) => response.arrayBuffer()),
  ]);
  let ort;
  try {
    ort = await import(RUNTIME);
  } catch (error) {
    const message = "The files of ONNX Runtime Web are missing. README.md has the commands that bring them.";
    throw new Error(message, { cause: error });
  }
  const session = await ort.InferenceSession.create(new Uint8Array(graph), { logSeverityLevel: 3 });
  return new Model(ort, session, manifest);
}

async function get(path) {
  const response = await fetch(new URL(path, import.meta.url));
  if (response.ok) return response;
  throw new Error(`${response.url} cannot be read (${response.status}). Serve the bundle's whole folder.`);
}

/** Decode as the bundle does: turned as EXIF says, colors as they are in the file, no alpha multiplied in. */
export async function decode(file, maxPixels) {
  let bitmap;
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  try {
    bitmap = await createImageBitmap(file, options);
  } catch (error) {
    const message = "The browser cannot read this file: it is damaged, or of a kind that browsers do not show. JPEG, PNG,"
      + " GIF and WebP are.";
    throw new Error(message, { cause: error });
  }
  const { width, height } = bitmap;
  try {
    if (width * height > maxPixels) {
      throw new Error(`The image has ${width} x ${height} pixels, more than ${maxPixels}.`);
    }
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    return { pixels: context.getImageData(0, 0, width, height).data, width, height };
  } finally {
    bitmap.close();
  }
}

function describe({ manifest, input }) {
  find("about").textContent = `${purpose(manifest)}, with ${input.encoder.name}, in this browser: no image leaves it.`;
  if (!last) say("");
}

let last = 0;

async function ask(files) {
  const asked = (last += 1);
  const list = empty(files.length);
  list.setAttribute("aria-busy", "true");
  say("Looking ...");
  try {
    const model = await opened;
    const started = performance.now();
    for (const file of files) {
      const row = await answer(model, file).catch((error) => ({ error: error.message }));
      if (asked !== last) return; // others have been chosen meanwhile
      list.append(item(row, [file]));
    }
    say(`${counted(files.length)} in ${time((performance.now() - started) / 1000)}`);
  } catch (error) {
    say(error.message, true);
  } finally {
    if (asked === last) list.removeAttribute("aria-busy");
  }
}

async function answer(model, file) {
  const { label, probabilities } = await model.answer(await decode(file, model.manifest.image.max_pixels));
  return { label, probabilities };
}

takeFiles(ask);
opened.then(describe, (error) => say(error.message, true));
