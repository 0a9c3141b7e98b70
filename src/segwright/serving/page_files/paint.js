// From classes and confidence to colours: only the pixels of a canvas are painted, whatever the picture's size.

export const UNSURE = [136, 136, 136];

const UNSURE_OPACITY = 0.8;
const OUTLINE_OPACITY = 0.9;
const DIMMED = 0.15; // of the opacity, for classes beside the one that is pointed at
const LEAST_SURE = 0.3; // what is less probable looks the same
const RAMP = [[15, 10, 48], [92, 22, 126], [186, 55, 110], [245, 125, 80], [252, 246, 180]]; // sure to unsure

/** The colour of a probability on the heat map, [red, green, blue]. */
export function rampColour(probability) {
  const position = Math.min((1 - probability) / (1 - LEAST_SURE), 1) * (RAMP.length - 1);
  const index = Math.min(Math.floor(position), RAMP.length - 2);
  const share = position - index;
  return RAMP[index].map((from, channel) => Math.round(from + share * (RAMP[index + 1][channel] - from)));
}

/**
 * Colours by class and confidence, index 256 * class + confidence, as ImageData holds them: of areas, and of the
 * outlines between classes. `look` has mode, opacity and threshold (0 to 1), shown (a Set of classes), and pointed, the
 * only class that is not dimmed, or null.
 */
export function colourTables(colours, look) {
  const fills = new Uint32Array(1 << 16), outlines = new Uint32Array(1 << 16);
  const outlined = Math.max(look.opacity, Math.min(OUTLINE_OPACITY, 3 * look.opacity));
  const least = Math.round(255 * look.threshold);
  const heat = look.mode === "confidence";
  for (let index = 0; index < 256; index++) {
    if (!heat && !look.shown.has(index)) continue;
    const strength = look.pointed === null || look.pointed === index ? 1 : DIMMED;
    for (let confidence = 0; confidence < 256; confidence++) {
      const entry = 256 * index + confidence;
      if (confidence < least) {
        fills[entry] = outlines[entry] = packed(UNSURE, UNSURE_OPACITY * strength);
      } else {
        const colour = heat ? rampColour(confidence / 255) : colours[index] ?? UNSURE;
        fills[entry] = packed(colour, look.opacity * strength);
        outlines[entry] = heat ? fills[entry] : packed(colour, outlined * strength);
      }
    }
  }
  return { fills, outlines };
}

function packed([red, green, blue], opacity) {
  return ((Math.round(255 * opacity) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/**
 * Paint a canvas of width x height pixels, on which the result's pixels are squares of `scale`, its corner at (x, y),
 * from a column on. `target` is a Uint32Array over an ImageData of that size.
 */
function paint(target, width, height, { scale, x, y }, result, tables, from = 0) {
  target.fill(0);
  const { classes, confidence } = result, { fills, outlines } = tables;
  const left = Math.max(Math.ceil(x - 0.5), from, 0);
  const right = Math.min(Math.ceil(x + scale * result.width - 0.5), width);
  const top = Math.max(Math.ceil(y - 0.5), 0), bottom = Math.min(Math.ceil(y + scale * result.height - 0.5), height);
  const column = at => Math.min(Math.floor((at + 0.5 - x) / scale), result.width - 1);
  const columns = Int32Array.from({ length: Math.max(right - left, 0) }, (_, index) => column(left + index));
  const above = new Int16Array(columns.length).fill(-1);
  for (let row = top; row < bottom; row++) {
    const begin = Math.min(Math.floor((row + 0.5 - y) / scale), result.height - 1) * result.width;
    const out = row * width + left;
    let before = -1;
    for (let index = 0; index < columns.length; index++) {
      const pixel = begin + columns[index], found = classes[pixel];
      const border = (found !== before && before >= 0) || (found !== above[index] && above[index] >= 0);
      target[out + index] = (border ? outlines : fills)[(found << 8) | confidence[pixel]];
      above[index] = before = found;
    }
  }
}

/** A canvas of its own for the classes, kept from one painting to the next. */
export class Layer {
  canvas = document.createElement("canvas");
  context = this.canvas.getContext("2d");

  /** Paint as `paint` does and return the canvas. */
  paint(width, height, ...rest) {
    if (this.image?.width !== width || this.image.height !== height) {
      Object.assign(this.canvas, { width, height });
      this.image = this.context.createImageData(width, height);
    }
    paint(new Uint32Array(this.image.data.buffer), width, height, ...rest);
    this.context.putImageData(this.image, 0, 0);
    return this.canvas;
  }
}
