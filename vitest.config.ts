import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["@faultline/source"] },
  ssr: { resolve: { conditions: ["@faultline/source"] } },
  test: {
    include: ["packages/*/src/**/*.test.ts", "test/**/*.test.ts"],
    reporters: ["default", "./tools/closing-line-reporter.ts"],
    testTimeout: 60_000,
    // Two cores: threads start faster than processes, and the model shares nothing between worlds.
    pool: "threads",
  },
});
