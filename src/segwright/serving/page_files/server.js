// What the page asks the server, and how it reads the answers.

export const INVOCATIONS = new URL("invocations", location.href);

const ACCEPT = "application/x-npy;output=confidence;gzip=1";
const LOADING = 503;

/** What the server says of its model, as soon as it is loaded. */
export async function describeModel() {
  for (;;) {
    const answer = await fetch("page/model");
    if (answer.ok) return answer.json();
    if (answer.status !== LOADING) throw new Error(await answer.text());
    await new Promise(resolve => setTimeout(resolve, 500));
  }
}

/**
 * The class of every pixel of a file and its probability times 255, both Uint8Array by rows, and times in milliseconds:
 * pairs of a stage and how long it took. Throws an Error with the server's sentence.
 */
export async function segment(file, signal) {
  const start = performance.now();
  const headers = { Accept: ACCEPT, "Content-Type": "application/octet-stream" }; // its bytes say what it is
  const answer = await fetch(INVOCATIONS, { method: "POST", body: file, headers, signal });
  if (!answer.ok) throw new Error(await answer.text());
  const inflated = answer.body.pipeThrough(new DecompressionStream("gzip"));
  const array = readArray(await new Response(inflated).arrayBuffer());
  const stages = readTiming(answer.headers.get("Server-Timing") ?? "");
  const total = performance.now() - start;
  const rest = total - stages.reduce((sum, [, milliseconds]) => sum + milliseconds, 0);
  return { ...array, total, times: [...stages, ["transfer, waiting", Math.max(rest, 0)]] };
}

/** A NumPy file of uint8 [2, H, W]. Source: numpy.lib.format, version 1.0. */
function readArray(buffer) {
  const begin = 10 + new DataView(buffer).getUint16(8, true);
  const header = new TextDecoder("latin1").decode(new Uint8Array(buffer, 10, begin - 10));
  const [, height, width] = header.match(/'shape': \(2, (\d+), (\d+)\)/).map(Number);
  const size = height * width;
  return {
    height,
    width,
    classes: new Uint8Array(buffer, begin, size),
    confidence: new Uint8Array(buffer, begin + size, size),
  };
}

function readTiming(header) {
  return [...header.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, stage, duration]) => [stage, Number(duration)]);
}
