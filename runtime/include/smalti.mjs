// smalti.wasm from JavaScript: tensors {data: a typed array, dims} in and out. An element's type is
// that of its array; 16-bit floats are bits in a Uint16Array. Structs are laid out as smalti.h has
// them on wasm32.

const ARRAYS = { 1: Float32Array, 2: Uint8Array, 3: Int8Array, 7: BigInt64Array, 10: Uint16Array };
const MAX_RANK = 8;
const TENSOR_BYTES = 80;
const ATTRIBUTE_BYTES = 96;
const ERROR_BYTES = 320;
const MOST_BYTES = 2 ** 31; // of one block

/** Starts the library; `bytes` are those of smalti.wasm. */
export async function load(bytes) {
  const { instance } = await WebAssembly.instantiate(bytes);
  instance.exports._initialize();
  return new Smalti(instance.exports);
}

class Smalti {
  #c;
  #kinds = {};
  /** The operators: "Resize(...) -> y: f32; ..." by their names. */
  signatures = {};

  constructor(c) {
    this.#c = c;
    for (let i = 0; i < c.smalti_op_count(); ++i) {
      const op = textAt(c, c.smalti_op_name(i));
      this.signatures[op] = textAt(c, c.smalti_op_signature(i));
      const attributes = this.signatures[op].split("; ")[1]?.split(", ") ?? [];
      this.#kinds[op] = Object.fromEntries(attributes.map((text) => text.split(": ")));
    }
  }

  /**
   * Runs an operator; gives its output. Inputs are in the operator's order, null for one that is
   * absent; attributes are numbers (bigints, too) or arrays of them, by name.
   * Throws an Error with the library's sentence where it refuses, a TypeError for other arrays, a
   * RangeError for dims that are not those of the data.
   */
  run(op, inputs, attributes = {}) {
    const memory = new Memory(this.#c);
    try {
      const given = Object.entries(attributes);
      const call = [memory.text(op), memory.tensors(inputs), inputs.length];
      call.push(memory.attributes(given, this.#kinds[op] ?? {}), given.length);
      const output = memory.take(TENSOR_BYTES);
      const error = memory.take(ERROR_BYTES);
      const attempt = (code) => {
        if (code !== 0) throw new Error(textAt(this.#c, error));
      };
      attempt(this.#c.smalti_shape(...call, output, error, ERROR_BYTES));
      const found = memory.allocate(output);
      attempt(this.#c.smalti_run(...call, output, 1, error, ERROR_BYTES));
      return memory.tensor(found);
    } finally {
      memory.free();
    }
  }
}

function textAt(c, at) {
  const bytes = new Uint8Array(c.memory.buffer, at >>> 0);
  return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
}

const product = (dims) => dims.reduce((count, size) => count * size, 1);

// What one call has in the library's memory. Every view is taken anew: allocating may move it.
class Memory {
  #c;
  #blocks = [];

  constructor(c) {
    this.#c = c;
  }

  free() {
    for (const at of this.#blocks) this.#c.free(at);
  }

  get #view() {
    return new DataView(this.#c.memory.buffer);
  }

  // Zeroed.
  take(bytes) {
    const at = bytes < MOST_BYTES ? this.#c.malloc(Math.max(bytes, 1)) >>> 0 : 0;
    if (at === 0) throw new Error(`no memory for ${bytes} bytes`);
    this.#blocks.push(at);
    new Uint8Array(this.#c.memory.buffer, at, bytes).fill(0);
    return at;
  }

  put(array) {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    const at = this.take(bytes.length);
    new Uint8Array(this.#c.memory.buffer, at, bytes.length).set(bytes);
    return at;
  }

  text(string) {
    return this.put(new TextEncoder().encode(`${string}\0`));
  }

  tensors(inputs) {
    const at = this.take(inputs.length * TENSOR_BYTES);
    inputs.forEach((input, i) => {
      if (input !== null) this.#putTensor(at + i * TENSOR_BYTES, input);
    });
    return at;
  }

  #putTensor(at, { data, dims }) {
    const type = Object.keys(ARRAYS).find((number) => data instanceof ARRAYS[number]);
    if (type === undefined) {
      const arrays = Object.values(ARRAYS).map((array) => array.name);
      throw new TypeError(`data: no array of a known type; pass one of ${arrays.join(", ")}`);
    }
    if (dims.length > MAX_RANK || product(dims) !== data.length) {
      throw new RangeError(`dims: [${dims}] are not those of ${data.length} values`);
    }
    const to = this.put(data);
    this.#view.setUint32(at, to, true);
    this.#view.setInt32(at + 4, Number(type), true);
    this.#view.setInt32(at + 8, dims.length, true);
    this.#putInts(at + 16, dims);
  }

  attributes(given, kinds) {
    const at = this.take(given.length * ATTRIBUTE_BYTES);
    given.forEach(([name, value], i) => {
      this.#putAttribute(at + i * ATTRIBUTE_BYTES, name, kinds[name], value);
    });
    return at;
  }

  #putAttribute(at, name, kind, value) {
    const to = this.text(name);
    this.#view.setUint32(at, to, true);
    if (kind === "int") this.#putInts(at + 8, [value]);
    if (kind === "float") this.#view.setFloat32(at + 16, value, true);
    if (kind === "ints") {
      this.#putInts(at + 24, value.slice(0, MAX_RANK));
      this.#view.setInt32(at + 88, value.length, true);
    }
  }

  #putInts(at, values) {
    values.forEach((value, i) => this.#view.setBigInt64(at + 8 * i, BigInt(value), true));
  }

  // Gives a tensor that has its shape its data, too.
  allocate(tensor) {
    const dims = [];
    for (let i = 0; i < this.#view.getInt32(tensor + 8, true); ++i) {
      dims.push(Number(this.#view.getBigInt64(tensor + 16 + 8 * i, true)));
    }
    const count = product(dims);
    const array = ARRAYS[this.#view.getInt32(tensor + 4, true)];
    const data = this.take(count * array.BYTES_PER_ELEMENT);
    this.#view.setUint32(tensor, data, true);
    return { array, data, count, dims };
  }

  tensor({ array, data, count, dims }) {
    return { data: new array(this.#c.memory.buffer, data, count).slice(), dims };
  }
}
