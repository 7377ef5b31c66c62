// The floors of the house: what may import what. Packages reach each other through their one entry only.
import { readFileSync } from "node:fs";

const FLOORS = {
  kernel: [],
  mm: ["kernel"],
  uio: ["kernel", "mm"],
  fs: ["kernel", "mm", "uio"],
  scenario: ["kernel", "mm", "uio", "fs"],
  explore: ["kernel"],
  lab: ["kernel", "mm", "uio", "fs", "scenario"],
  cli: ["kernel", "mm", "uio", "fs", "scenario", "explore"],
};

/** Files that may use the host; tools/check-model.mjs reads the same list. */
const hostFiles = JSON.parse(readFileSync(new URL("tools/host-files.json", import.meta.url), "utf8"));

const TEST = "\\.test(-d)?\\.ts$";

const floors = Object.entries(FLOORS).map(([floor, below]) => ({
  name: `floor-${floor}`,
  comment: `${floor} may import ${below.length > 0 ? below.join(", ") : "no other package"}; what needs a higher floor declares an interface and is handed it`,
  severity: "error",
  from: { path: `^packages/${floor}/` },
  to: { path: "^packages/", pathNot: `^packages/(${[floor, ...below].join("|")})/` },
}));

export default {
  forbidden: [
    ...floors,
    {
      name: "entry-only",
      comment: "a package is imported through its entry, packages/*/src/index.ts",
      severity: "error",
      from: { path: "^packages/([^/]+)/" },
      to: { path: "^packages/", pathNot: "^packages/($1/|[^/]+/src/index\\.ts$)" },
    },
    {
      name: "entry-only-in-tests",
      comment: "tests that cross packages see what users see",
      severity: "error",
      from: { path: "^test/" },
      to: { path: "^packages/", pathNot: "^packages/[^/]+/src/index\\.ts$" },
    },
    {
      name: "no-cycle",
      comment: "files import each other in one direction; only types may go round",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "no-test-code",
      comment: "what is published does not import tests",
      severity: "error",
      from: { path: "^packages/[^/]+/src/", pathNot: TEST },
      to: { path: `${TEST}|^test/` },
    },
    {
      name: "no-host",
      comment: "the model runs in a browser too: it is handed what it needs of the host",
      severity: "error",
      from: { path: "^packages/(kernel|mm|uio|fs|explore)/src/", pathNot: [TEST, ...Object.keys(hostFiles)] },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "resolvable",
      comment: "an import that does not resolve would pass every other rule",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^|/)dist/" },
    tsPreCompilationDeps: true,
    // Without these conditions imports of other packages lead to dist, or nowhere, and the rules see nothing.
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["@faultline/source", "import", "types", "default"],
    },
  },
};
