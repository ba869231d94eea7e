// What tests/kernels/run_calls.cc is, in node: node run_calls.mjs smalti.wasm.
import { readFileSync } from "node:fs";
import { load } from "../../runtime/include/smalti.mjs";

const smalti = await load(readFileSync(process.argv[2]));

const ARRAYS = { 1: Float32Array, 2: Uint8Array, 3: Int8Array, 7: BigInt64Array, 10: Uint16Array };
const TENSOR_BYTES = 72;
const ATTRIBUTE_BYTES = 80;
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
// null after a length of -1
const sized = () => {
  const bytes = Number(fields(8).getBigInt64(0, true));
  return bytes < 0 ? null : take(bytes);
};
const text = () => new TextDecoder().decode(sized());
const counted = (one) => Array.from({ length: number() }, one);

function ints(view, from, count) {
  return Array.from({ length: count }, (_, i) => view.getBigInt64(from + 8 * i, true));
}

function tensor() {
  const view = fields(TENSOR_BYTES);
  const dims = ints(view, 8, view.getInt32(4, true)).map(Number);
  const bytes = sized();
  return bytes && { data: new ARRAYS[view.getInt32(0, true)](bytes), dims };
}

// All that an attribute may be; the operator's signature says what it is.
function attribute() {
  const view = fields(ATTRIBUTE_BYTES);
  const values = { int: view.getBigInt64(0, true), float: view.getFloat32(8, true) };
  values.ints = ints(view, 16, view.getInt32(12, true));
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
