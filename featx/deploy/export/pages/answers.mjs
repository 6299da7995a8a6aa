// What the pages of a bundle share: images are chosen, dropped or pasted, and each answer is shown beside its own.
const SHOWN = 5; // classes, the most probable ones

export const find = (id) => document.getElementById(id);

// Text is always set as text: labels and names may hold HTML.
export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

export function say(text, bad = false) {
  find("note").textContent = text;
  find("note").className = bad ? "bad" : "";
}

/** What a model does, by its manifest. */
export function purpose({ task, width, classes }) {
  if (task === "embedding") return "Embeds images";
  if (task === "regression") return width === undefined ? "Predicts a number" : `Predicts ${width} numbers`;
  if (width === undefined) return `Classifies images into ${classes.values.length} classes`;
  return `Gives an image ${width} labels`;
}

/** Call a function with the files whenever somebody hands over some. */
export function takeFiles(ask) {
  const take = (files) => files.length && ask([...files]); // none: text that is pasted
  const over = (is) => find("drop").classList.toggle("over", is);
  find("files").addEventListener("change", (event) => {
    take(event.target.files);
    event.target.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  document.addEventListener("dragleave", () => over(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    take(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
}

/** Take the answers away that are shown; return their list, for n others. */
export function empty(n) {
  const list = find("answers");
  list.querySelectorAll("img").forEach((image) => URL.revokeObjectURL(image.src));
  list.replaceChildren();
  list.className = n === 1 ? "single" : "";
  return list;
}

/** An answer beside its images: {error, label, probabilities, embedding}, of which each may be missing. */
export function item({ error, label, probabilities, embedding }, files) {
  const pictures = make("div", "pictures");
  for (const file of files) {
    const image = make("img");
    image.alt = "";
    image.onerror = () => { image.style.visibility = "hidden"; };
    image.src = URL.createObjectURL(file);
    pictures.append(image);
  }
  const text = make("div");
  text.append(make("div", "faint name", files.map((file) => file.name || "pasted image").join(", ")));
  if (error) text.append(make("div", "error", error));
  if (label !== null && label !== undefined) text.append(make("div", "label", format(label)));
  if (embedding) text.append(make("div", "label", `${embedding.length} numbers`));
  if (probabilities) text.append(bars(probabilities));
  const entry = make("li", "card");
  entry.append(pictures, text);
  return entry;
}

export const counted = (n) => (n === 1 ? "One image" : `${n} images`);
export const time = (seconds) => (seconds < 1 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`);

function format(label) {
  if (Array.isArray(label)) return label.map(format).join(", ");
  return typeof label === "number" && !Number.isInteger(label) ? label.toPrecision(4) : String(label);
}

function bars(probabilities) {
  const list = make("dl", "bars");
  for (const [label, probability] of [...probabilities].sort((a, b) => b[1] - a[1]).slice(0, SHOWN)) {
    const name = make("dt", "", String(label));
    name.title = label;
    const track = make("dd", "track");
    const bar = make("i");
    bar.style.width = `${100 * probability}%`;
    track.append(bar);
    list.append(name, track, make("dd", "value", `${(100 * probability).toFixed(1)} %`));
  }
  return list;
}
