// Which memory an operation touches.

import type { Op } from "./op.ts";

interface Memory {
  readonly map: string;
  readonly off: number;
  readonly len: number;
}

/** Does an operation touch any of these bytes of a map? */
export function usesMemory(op: Op, { map, off, len }: Memory): boolean {
  return memoryOf(op).some((one) => one.map === map && one.off < off + len && off < one.off + one.len);
}

function memoryOf(op: Op): Memory[] {
  if ("iov" in op) return op.iov.map(([map, off, len]) => ({ map, off, len }));
  return op.op === "touch" || op.op === "fill" || (op.op === "sum" && op.map !== undefined)
    ? [{ map: op.map ?? "", off: op.off, len: op.len }]
    : [];
}
