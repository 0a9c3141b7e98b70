// The page: a picture comes in, the server's answer is shown, and the controls say how.

import { curlCommand, maskPng, overlayPng, readPicture, save, stem } from "./files.js";
import { Legend, element, percent } from "./legend.js";
import { colourTables, rampColour } from "./paint.js";
import { INVOCATIONS, describeModel, segment } from "./server.js";
import { View } from "./view.js";

const find = id => document.getElementById(id);
const view = new View(find("canvas"));
const controls = [...find("settings").querySelectorAll("input")];
const STAGE_COLOURS = ["var(--validation)", "var(--train)", "var(--test)", "var(--quiet)"];
let model, legend, file, result, unsure, pointedClass = null;
let request = new AbortController();

start();

async function start() {
  listen();
  try {
    model = await describeModel();
  } catch (error) {
    say("error", `The model cannot be described: ${error.message}`);
    return;
  }
  const count = model.classes.length;
  find("model").textContent = [model.network, `${count} classes`, model.device].join(" · ");
  legend = new Legend(find("legend"), model.classes, model.background);
  legend.addEventListener("change", recolour);
  legend.addEventListener("point", ({ detail }) => {
    pointedClass = detail;
    recolour();
  });
  find("chooser").disabled = false;
  recolour();
  if (file) take([file]);
}

function listen() {
  find("chooser").addEventListener("change", event => {
    take(event.target.files);
    event.target.value = ""; // so that the same file can be chosen again
  });
  addEventListener("paste", event => event.clipboardData.files.length && take(event.clipboardData.files));
  addEventListener("dragover", event => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  addEventListener("dragleave", event => event.relatedTarget || document.body.classList.remove("dragging"));
  addEventListener("drop", event => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    take(event.dataTransfer.files);
  });
  addEventListener("keydown", event => {
    const action = { "+": "zoomIn", "=": "zoomIn", "-": "zoomOut", 0: "fit" }[event.key];
    if (action && view.size && !event.ctrlKey && !event.metaKey && !event.altKey) view[action]();
  });
  find("zoom-in").addEventListener("click", () => view.zoomIn());
  find("zoom-out").addEventListener("click", () => view.zoomOut());
  find("zoom-fit").addEventListener("click", () => view.fit());
  find("zoom-actual").addEventListener("click", () => view.zoomTo(1));
  view.addEventListener("zoom", () => (find("zoom-actual").textContent = `${Math.round(100 * view.zoom)} %`));
  view.addEventListener("point", ({ detail }) => readOut(detail));
  controls.forEach(control => control.addEventListener("input", recolour));
  find("show-all").addEventListener("click", () => legend.setAll(true));
  find("show-none").addEventListener("click", () => legend.setAll(false));
  find("cancel").addEventListener("click", () => request.abort());
  find("save-mask").addEventListener("click", async () => {
    save(await maskPng(result, colours()), `${stem(file.name)}.mask.png`);
  });
  find("save-overlay").addEventListener("click", async () => {
    save(await overlayPng(view.picture, result, view.tables), `${stem(file.name)}.overlay.png`);
  });
  find("copy").addEventListener("click", copy);
  listenToDivider();
}

/** Show the first of some files and ask the server for its classes. What was asked before is given up. */
async function take(files) {
  if (!files.length) {
    say("error", "What was dropped is no file: save the picture first, or copy and paste it.");
    return;
  }
  file = files[0];
  if (!model) return; // it is taken up when the model is there
  request.abort();
  const { signal } = (request = new AbortController());
  result = view.result = null;
  view.point(null);
  say("error", "");
  say("remark", files.length > 1 ? `Only the first of ${files.length} files is shown.` : "");
  find("answer").hidden = true;
  const working = showWork();
  try {
    const picture = await readPicture(file, model.upright);
    if (signal.aborted) return;
    arrange(picture?.canvas ?? null, picture);
    const answer = await segment(file, signal);
    if (!signal.aborted) present(answer, picture);
  } catch (error) {
    if (signal.aborted && request.signal !== signal) return; // a newer picture has come
    if (signal.aborted) say("remark", "Cancelled.");
    else say("error", `${file.name}: ${error.message}`);
  } finally {
    clearInterval(working);
    if (request.signal === signal) find("busy").hidden = true;
  }
}

function showWork() {
  const start = performance.now();
  const tick = () => (find("elapsed").textContent = `Computing, ${((performance.now() - start) / 1000).toFixed(1)} s`);
  tick();
  find("busy").hidden = false;
  return setInterval(tick, 100);
}

function present(answer, picture) {
  result = view.result = answer;
  const fits = picture && picture.width === result.width && picture.height === result.height;
  if (!fits) {
    const why = picture ? "the browser reads it with another size than the model" : "a browser cannot show such files";
    say("remark", `The classes are shown without the picture: ${why}.`);
  }
  arrange(fits ? picture.canvas : null, result);
  const pixels = new Array(256).fill(0), histogram = new Array(256).fill(0);
  for (const index of result.classes) pixels[index]++;
  for (const confidence of result.confidence) histogram[confidence]++;
  unsure = histogram.reduce((sums, count) => [...sums, sums.at(-1) + count], [0]); // pixels below each confidence
  legend.count(pixels.slice(0, model.classes.length));
  const found = pixels.filter(Boolean).length;
  find("canvas").setAttribute("aria-label", `${file.name} with ${found} classes; arrow keys read its pixels`);
  describeAnswer(found);
  recolour();
}

function describeAnswer(found) {
  const size = `${result.width} x ${result.height}`, classes = `${found} of ${model.classes.length} classes`;
  find("summary").textContent = `${file.name}, ${size}: ${classes} in ${duration(result.total)}`;
  const longest = result.times.reduce((sum, [, milliseconds]) => sum + milliseconds, 0);
  const parts = result.times.map(([, milliseconds], index) => {
    const part = element("i");
    part.style.width = `${(100 * milliseconds) / longest}%`;
    part.style.background = STAGE_COLOURS[index];
    return part;
  });
  find("times").replaceChildren(...parts);
  const words = result.times.flatMap(([stage, milliseconds], index) => {
    const term = element("dt"), swatch = element("i", "swatch");
    swatch.style.background = STAGE_COLOURS[index];
    term.append(swatch, stage);
    return [term, element("dd", "", duration(milliseconds))];
  });
  find("stages").replaceChildren(...words);
  find("curl").textContent = curlCommand(file.name, INVOCATIONS);
  find("answer").hidden = false;
}

function duration(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(2)} s`;
  return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}

/** Follow the controls. */
function recolour() {
  if (!model) return;
  const opacity = find("opacity").valueAsNumber, threshold = find("threshold").valueAsNumber;
  const mode = document.querySelector("input[name=mode]:checked").value;
  find("settings").querySelector("output[for=opacity]").textContent = `${opacity} %`;
  find("settings").querySelector("output[for=threshold]").textContent = threshold ? `${threshold} %` : "off";
  find("unsure").hidden = !threshold || !result;
  if (result) {
    const share = unsure[Math.round(2.55 * threshold)] / result.classes.length;
    find("unsure").textContent = `${percent(share)} of the pixels are grey.`;
  }
  const heat = mode === "confidence";
  find("ramp").hidden = !heat;
  legend.enable(!heat);
  find("show-all").disabled = find("show-none").disabled = heat;
  view.tables = colourTables(colours(), {
    mode,
    opacity: opacity / 100,
    threshold: threshold / 100,
    shown: legend.shown,
    pointed: heat ? null : pointedClass,
  });
  setSplit(view.split);
}

function colours() {
  return model.classes.map(({ colour }) => colour);
}

/** Show a picture, or null for none, of a size, or null for nothing at all. */
function arrange(picture, size) {
  if (size) find("stage").style.setProperty("--aspect", size.height / size.width);
  find("invitation").hidden = Boolean(size);
  find("zoom").querySelectorAll("button").forEach(button => (button.disabled = !size));
  view.show(picture, size);
  readOut(null);
  setSplit(view.split);
}

/** Say what a pixel is. */
function readOut(pixel) {
  if (!result || !pixel) {
    legend?.mark(null);
    find("readout").replaceChildren(result ? "Point at a pixel, or tap it" : "");
    return;
  }
  const at = pixel.y * result.width + pixel.x, index = result.classes[at];
  const { name, colour } = model.classes[index] ?? { name: "no class", colour: [136, 136, 136] };
  const swatch = element("i", "swatch"), probability = `${Math.round(result.confidence[at] / 2.55)} %`;
  swatch.style.background = `rgb(${colour.join(" ")})`;
  const words = [element("strong", "", name), element("b", "", probability), `x ${pixel.x}, y ${pixel.y}`];
  find("readout").replaceChildren(swatch, ...words);
  legend.mark(index);
}

/** Show the classes from a share of the canvas on; the divider is there while they are compared. */
function setSplit(share) {
  const compared = find("compare").checked && Boolean(view.size);
  view.split = compared ? share || 0.5 : 0;
  find("divider").hidden = !compared;
  find("divider").style.left = `${100 * view.split}%`;
  find("divider").setAttribute("aria-valuenow", Math.round(100 * view.split));
  view.redraw();
}

function listenToDivider() {
  const divider = find("divider"), limited = share => Math.min(Math.max(share, 0.001), 1);
  divider.addEventListener("pointerdown", event => divider.setPointerCapture(event.pointerId));
  divider.addEventListener("pointermove", event => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const box = view.canvas.getBoundingClientRect();
    setSplit(limited((event.clientX - box.left) / box.width));
  });
  divider.addEventListener("keydown", event => {
    const target = { ArrowLeft: view.split - 0.02, ArrowRight: view.split + 0.02, Home: 0, End: 1 }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    setSplit(limited(target));
  });
}

async function copy() {
  const text = find("curl").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // only pages of this machine or over TLS may
    getSelection().selectAllChildren(find("curl"));
    document.execCommand("copy");
  }
  find("copy").textContent = "Copied";
  setTimeout(() => (find("copy").textContent = "Copy"), 1500);
}

function say(where, text) {
  find(where).textContent = text;
  find(where).hidden = !text;
}

find("ramp").querySelector(".bar").style.background = `linear-gradient(to right, ${
  [0.3, 0.475, 0.65, 0.825, 1].map(share => `rgb(${rampColour(share).join(" ")})`).join(", ")})`;
