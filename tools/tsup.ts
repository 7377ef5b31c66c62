// The one build configuration: every package's tsup.config.ts re-exports it.
import type { Options } from "tsup";

const options: Options = {
  entry: ["src/index.ts"],
  format: ["esm"],
  target: "node20",
  sourcemap: true,
  clean: true,
  // Constants become literals, which the host folds: at the top of a bundle they would be variables that it loads.
  minifySyntax: true,
  // tsup adds `baseUrl` for its declaration build, which TypeScript 6 reports as deprecated.
  dts: { compilerOptions: { ignoreDeprecations: "6.0" } },
};

export default options;
