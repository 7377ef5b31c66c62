// What a bad argument to a public function gets: a TypeError or RangeError that names it.
// System calls do not use these; they return the errno that Linux returns.

export function checkInteger(value: unknown, name: string, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== "number") throw new TypeError(`${name} must be a number, not ${describe(value)}`);
  if (!Number.isInteger(value)) throw new RangeError(`${name} must be a whole number, not ${value}`);
  if (value < min || value > max) throw new RangeError(`${name} must be between ${min} and ${max}, not ${value}`);
  return value;
}

export function checkInstance<T>(value: unknown, type: abstract new (...args: never[]) => T, name: string): T {
  if (!(value instanceof type)) throw new TypeError(`${name} must be a ${type.name}, not ${describe(value)}`);
  return value;
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "object") return value.constructor?.name ?? "an object";
  return typeof value;
}
