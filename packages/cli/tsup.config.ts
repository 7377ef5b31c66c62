import { cpSync } from "node:fs";
import { defineConfig } from "tsup";

// No declarations: nobody imports a command. The stories go with it, for where there is no repository around it.
export default defineConfig({
  entry: ["src/faultline.ts", "src/worker.ts", "src/replayer.ts"],
  format: ["esm"],
  target: "node20",
  sourcemap: true,
  clean: true,
  dts: false,
  async onSuccess() {
    cpSync("../../scenarios", "dist/scenarios", { recursive: true });
  },
});
