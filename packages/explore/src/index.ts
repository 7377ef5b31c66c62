export { Explorer } from "./explorer.ts";
export { lastZero } from "./programs/last-zero.ts";
