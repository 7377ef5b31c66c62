import type { ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = {
  resolve: { conditions: ["@faultline/source"] },
  ssr: { resolve: { conditions: ["@faultline/source"] } },
  test: {
    include: ["packages/*/src/**/*.test.ts", "test/**/*.test.ts"],
    reporters: ["default", "./tools/closing-line-reporter.ts"],
    testTimeout: 60_000,
    // Threads start faster than processes, and the model shares nothing between worlds.
    pool: "threads",
    maxWorkers: "100%",
    // So a file finds the modules loaded and compiled by those before it.
    isolate: false,
  },
};

export default config;
