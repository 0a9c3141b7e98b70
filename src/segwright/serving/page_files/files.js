// Pictures that come from files, and files and commands that go out.

import { Layer } from "./paint.js";

const EXIF = [0x45, 0x78, 0x69, 0x66, 0, 0];
const BEGINNING = 1 << 17; // bytes, in which a JPEG has its EXIF
const LARGEST_CANVAS = 1 << 24; // pixels; phones have no larger ones

/**
 * A file as a canvas, with its full width and height, or null where the browser cannot show it. A very large picture
 * is smaller on the canvas. `upright`: turned as its EXIF orientation says, as the model sees it.
 */
export async function readPicture(file, upright) {
  const image = new Image(), address = URL.createObjectURL(upright ? file : await withoutOrientation(file));
  image.src = address;
  try {
    await image.decode();
    const { naturalWidth: width, naturalHeight: height } = image;
    const canvas = canvasOf({ width, height });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return { canvas, width, height };
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** The same picture, but browsers, which turn JPEG files by their EXIF whatever a page says, find none. */
async function withoutOrientation(file) {
  const bytes = new Uint8Array(await file.slice(0, BEGINNING).arrayBuffer());
  const found = bytes.findIndex((_, index) => EXIF.every((byte, offset) => bytes[index + offset] === byte));
  if (bytes[0] !== 0xff || found < 0) return file;
  bytes[found] = 0;
  return new Blob([bytes, file.slice(BEGINNING)], { type: file.type });
}

/** The picture under its classes as PNG, a Blob; smaller than a very large picture. */
export function overlayPng(picture, result, tables) {
  const canvas = canvasOf(result), context = canvas.getContext("2d");
  if (picture) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const place = { scale: canvas.width / result.width, x: 0, y: 0 };
  context.drawImage(new Layer().paint(canvas.width, canvas.height, place, result, tables), 0, 0);
  return new Promise(resolve => canvas.toBlob(resolve, "image/png"));
}

function canvasOf({ width, height }) {
  const factor = Math.min(Math.sqrt(LARGEST_CANVAS / (width * height)), 1);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(Math.floor(width * factor), 1);
  canvas.height = Math.max(Math.floor(height * factor), 1);
  return canvas;
}

/** Class numbers as a palette PNG, a Blob. Source: PNG specification (third edition), sections 5 and 11. */
export async function maskPng({ width, height, classes }, colours) {
  const rows = new Uint8Array(height * (width + 1)); // each begins with its filter, none
  for (let row = 0; row < height; row++) {
    rows.set(classes.subarray(row * width, (row + 1) * width), row * (width + 1) + 1);
  }
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint32(8, 0x08030000); // 8 bits, palette, the only methods
  const deflated = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const palette = new Uint8Array(768);
  palette.set(colours.flat());
  return new Blob([
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("PLTE", palette),
    chunk("IDAT", new Uint8Array(await new Response(deflated).arrayBuffer())),
    chunk("IEND", new Uint8Array()),
  ], { type: "image/png" });
}

const CRC = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function chunk(kind, content) {
  const bytes = new Uint8Array(content.length + 12), view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set(new TextEncoder().encode(kind), 4);
  bytes.set(content, 8);
  let crc = 0xffffffff;
  for (const byte of bytes.subarray(4, -4)) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  view.setUint32(content.length + 8, ~crc >>> 0);
  return bytes;
}

/** Let the browser keep a Blob as a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A name without folder and ending. */
export function stem(name) {
  return name.replace(/\.[^.]*$/, "") || "picture";
}

/** The command that asks for the same mask. Names come from outside: the shell sees one word, a person all of it. */
export function curlCommand(name, address) {
  const quoted = text => `'${text.replace(/\p{C}/gu, "?").replaceAll("'", "'\\''")}'`;
  const output = quoted(`${stem(name)}.mask.png`);
  return `curl --data-binary @${quoted(name)} -H 'Accept: image/png;palette=1' ${address} -o ${output}`;
}
