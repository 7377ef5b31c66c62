export { Cell } from "./cell.ts";
export { type ExploreOptions, explore } from "./explore.ts";
export { CATALOGUE, type CatalogueEntry } from "./programs/catalogue.ts";
export { reportLines } from "./report.ts";
