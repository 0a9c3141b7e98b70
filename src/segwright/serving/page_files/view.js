// The picture and its classes on a canvas: zoom, pan, and the pixel that is pointed at. Lengths are in device pixels.

import { Layer } from "./paint.js";

const STEP = 1.5; // of a zoom by button or key
const LARGEST = 48; // pixels of the screen for one of the picture
const CRISP = 2; // from where on pixels are seen as squares
const FRAMED = 6; // from where on the pixel that is pointed at has a frame
const STILL = 6; // a finger may tremble so far in a tap

export class View extends EventTarget {
  /** Events: `point`, whose `detail` is {x, y} in the picture or null, and `zoom`. */
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.layer = new Layer();
    this.size = this.picture = this.result = this.tables = this.pointed = null;
    this.split = 0; // the classes begin at this share of the width
    this.scale = 1;
    this.x = this.y = 0;
    this.fitted = true;
    this.pointers = new Map();
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
  }

  /** Show a picture, null where only the classes can be seen, of {width, height}; of null, show nothing. */
  show(picture, size) {
    const same = this.size?.width === size?.width && this.size?.height === size?.height;
    this.picture = picture;
    this.size = size;
    if (same || !size) this.redraw();
    else this.fit();
  }

  /** Pixels of the page, not of the device, for one of the picture. */
  get zoom() {
    return this.scale / devicePixelRatio;
  }

  get fitting() {
    return Math.min(this.canvas.width / this.size.width, this.canvas.height / this.size.height, LARGEST);
  }

  fit() {
    this.fitted = true;
    this.move(this.fitting, 0, 0);
  }

  /** Zoom by a factor about a point of the canvas, by default its middle. */
  zoomBy(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    if (!this.size) return;
    const smallest = Math.min(this.fitting, devicePixelRatio), largest = LARGEST * devicePixelRatio;
    const scale = Math.min(Math.max(this.scale * factor, smallest), Math.max(largest, smallest));
    const grown = scale / this.scale;
    this.fitted = false;
    this.move(scale, x - (x - this.x) * grown, y - (y - this.y) * grown);
  }

  zoomIn() {
    this.zoomBy(STEP);
  }

  zoomOut() {
    this.zoomBy(1 / STEP);
  }

  zoomTo(zoom) {
    this.zoomBy((zoom * devicePixelRatio) / this.scale);
  }

  /** Put the picture's corner there, within bounds: what is smaller than the canvas stays in its middle. */
  move(scale, x, y) {
    const within = (at, length, all) => (length <= all ? (all - length) / 2 : Math.min(Math.max(at, all - length), 0));
    this.scale = scale;
    this.x = Math.round(within(x, scale * this.size.width, this.canvas.width));
    this.y = Math.round(within(y, scale * this.size.height, this.canvas.height));
    // At the fitting size a finger scrolls the page, else it moves the picture.
    this.canvas.style.touchAction = scale > this.fitting * 1.001 ? "none" : "pan-y";
    this.redraw();
    this.dispatchEvent(new Event("zoom"));
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.max(Math.round(clientWidth * devicePixelRatio), 1);
    this.canvas.height = Math.max(Math.round(clientHeight * devicePixelRatio), 1);
    if (!this.size) return;
    if (this.fitted) this.fit();
    else this.move(this.scale, this.x, this.y);
  }

  redraw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.draw();
    });
  }

  draw() {
    const { canvas, context, scale, x, y, size } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!size) return;
    if (this.picture) {
      context.imageSmoothingEnabled = scale < CRISP;
      context.imageSmoothingQuality = "high";
      context.drawImage(this.picture, x, y, scale * size.width, scale * size.height);
    }
    if (this.result && this.tables) {
      const from = Math.round(this.split * canvas.width);
      context.drawImage(this.layer.paint(canvas.width, canvas.height, this, this.result, this.tables, from), 0, 0);
    }
    if (this.pointed && scale >= FRAMED) {
      const left = x + this.pointed.x * scale, top = y + this.pointed.y * scale, line = devicePixelRatio;
      context.lineWidth = line;
      context.strokeStyle = "#fff";
      context.strokeRect(left - line / 2, top - line / 2, scale + line, scale + line);
      context.strokeStyle = "#000";
      context.strokeRect(left - 1.5 * line, top - 1.5 * line, scale + 3 * line, scale + 3 * line);
    }
  }

  /** Point at a pixel of the picture, {x, y}, or at none, null. */
  point(pixel) {
    if (pixel?.x === this.pointed?.x && pixel?.y === this.pointed?.y) return;
    this.pointed = pixel;
    if (this.scale >= FRAMED) this.redraw();
    this.dispatchEvent(new CustomEvent("point", { detail: pixel }));
  }

  pixelAt({ x, y }) {
    if (!this.size) return null;
    const pixel = { x: Math.floor((x - this.x) / this.scale), y: Math.floor((y - this.y) / this.scale) };
    const inside = pixel.x >= 0 && pixel.y >= 0 && pixel.x < this.size.width && pixel.y < this.size.height;
    return inside ? pixel : null;
  }

  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) * devicePixelRatio, y: (event.clientY - box.top) * devicePixelRatio };
  }

  listen() {
    const { canvas, pointers } = this;
    canvas.addEventListener("wheel", event => {
      if (!this.size) return;
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1;
      const { x, y } = this.placeOf(event);
      this.zoomBy(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), x, y);
      this.point(this.pixelAt({ x, y }));
    }, { passive: false });
    canvas.addEventListener("pointerdown", event => {
      if (!this.size || event.button > 0) return;
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, this.placeOf(event));
      this.moved = pointers.size > 1;
      this.began = this.placeOf(event);
    });
    canvas.addEventListener("pointermove", event => {
      if (pointers.has(event.pointerId)) this.drag(event);
      else if (event.pointerType !== "touch") this.point(this.pixelAt(this.placeOf(event)));
    });
    const end = event => {
      if (pointers.delete(event.pointerId) && event.type === "pointerup" && !this.moved) {
        this.point(this.pixelAt(this.placeOf(event)));
      }
      canvas.classList.toggle("dragged", pointers.size > 0);
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", event => event.pointerType === "mouse" && this.point(null));
    canvas.addEventListener("dblclick", event => {
      const { x, y } = this.placeOf(event);
      this.zoomBy(STEP * STEP, x, y);
    });
    canvas.addEventListener("keydown", event => this.step(event));
  }

  /** One pointer moves the picture, two also zoom it. */
  drag(event) {
    const before = [...this.pointers.values()];
    this.pointers.set(event.pointerId, this.placeOf(event));
    const after = [...this.pointers.values()];
    this.moved ||= distance(this.began, this.placeOf(event)) > STILL * devicePixelRatio;
    if (!this.moved) return;
    this.canvas.classList.add("dragged");
    if (after.length > 1) {
      const { x, y } = middle(after);
      this.zoomBy(distance(...after) / Math.max(distance(...before), 1), x, y);
    }
    const from = middle(before), to = middle(after);
    this.move(this.scale, this.x + to.x - from.x, this.y + to.y - from.y);
    if (event.pointerType !== "touch") this.point(this.pixelAt(this.placeOf(event)));
  }

  /** Arrows go from pixel to pixel; seen from afar, several at once. The picture follows. */
  step(event) {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Escape") this.point(null);
    if (!this.size || !(event.key in directions)) return;
    event.preventDefault();
    const [right, down] = directions[event.key], { width, height } = this.size;
    const far = Math.max(Math.round((event.shiftKey ? 80 : 8) * devicePixelRatio / this.scale), 1);
    const centre = { x: this.canvas.width / 2, y: this.canvas.height / 2 };
    const { x, y } = this.pointed ?? this.pixelAt(centre) ?? { x: width >> 1, y: height >> 1 };
    const clamp = (at, all) => Math.min(Math.max(at, 0), all - 1);
    this.point({ x: clamp(x + right * far, width), y: clamp(y + down * far, height) });
    const into = (start, at, all) => Math.min(Math.max(start, -at * this.scale), all - (at + 1) * this.scale);
    const left = into(this.x, this.pointed.x, this.canvas.width);
    this.move(this.scale, left, into(this.y, this.pointed.y, this.canvas.height));
  }
}

function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

function middle(places) {
  const sum = places.reduce((a, b) => ({ x: a.x + b.x, y: a.y + b.y }));
  return { x: sum.x / places.length, y: sum.y / places.length };
}
