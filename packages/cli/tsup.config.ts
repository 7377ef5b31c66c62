import { defineConfig } from "tsup";

// No declarations: nobody imports a command.
export default defineConfig({
  entry: ["src/faultline.ts", "src/worker.ts", "src/replayer.ts"],
  format: ["esm"],
  target: "node20",
  sourcemap: true,
  clean: true,
  dts: false,
});
