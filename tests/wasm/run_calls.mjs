// What tests/kernels/run_calls.cc is, in node: node run_calls.mjs smalti.wasm. Calls come from stdin
// as a 64-bit machine has them in memory.
import { readFileSync } from "node:fs";
import { load } from "../../runtime/include/smalti.mjs";

const smalti = await load(readFileSync(process.argv[2]));

const ARRAYS = { 1: Float32Array, 2: Uint8Array, 3: Int8Array, 7: BigInt64Array, 10: Uint16Array };
const TENSOR_BYTES = 80;
const ATTRIBUTE_BYTES = 96;
const given = readFileSync(0);
let at = 0;

// A copy, so that it is aligned.
function take(bytes) {
  at += bytes;
  if (at > given.length) throw new Error("the calls end too early");
  return new Uint8Array(given.subarray(at - bytes, at)).buffer;
}

const fields = (bytes) => new DataView(take(bytes));
const number = () => fields(4).getInt32(0, true);
const sized = () => take(Number(fields(8).getBigInt64(0, true)));
const text = () => new TextDecoder().decode(sized());
const counted = (one) => Array.from({ length: number() }, one);

function ints(view, from, count) {
  return Array.from({ length: count }, (_, i) => view.getBigInt64(from + 8 * i, true));
}

function tensor() {
  const view = fields(TENSOR_BYTES);
  if (view.getBigInt64(0, true) === 0n) return null;
  const dims = ints(view, 16, view.getInt32(12, true)).map(Number);
  return { data: new ARRAYS[view.getInt32(8, true)](sized()), dims };
}

// All that an attribute may be; the operator's signature says what it is.
function attribute() {
  const view = fields(ATTRIBUTE_BYTES);
  const values = { int: view.getBigInt64(8, true), float: view.getFloat32(16, true) };
  values.ints = ints(view, 24, view.getInt32(88, true));
  return [text(), values];
}

function call() {
  const op = text();
  const inputs = counted(tensor);
  const attributes = counted(attribute).map(([name, values]) => {
    const [, kind] = smalti.signatures[op].match(`[;,] ${name}: (\\w+)(,|$)`) ?? [];
    return [name, values[kind]];
  });
  try {
    const { data } = smalti.run(op, inputs, Object.fromEntries(attributes));
    return new Uint8Array(data.buffer);
  } catch (error) {
    process.exitCode = 1;
    process.stderr.write(`${error.message}\n`);
    return new Uint8Array();
  }
}

number(); // of threads: there is one
process.stdout.write(Buffer.concat(counted(call)));
