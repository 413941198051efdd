import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/*/src/**/*.test.ts", "packages/*/test/**/*.test.ts"],
    globalSetup: "packages/sluice/test/support/global-setup.ts",
    setupFiles: "packages/sluice/test/support/leaks.ts",
    pool: "forks",
    // Tests start servers and processes of their own, and wait for them most of the time. More workers would starve
    // their deadlines on two cores, and fewer take more than five minutes.
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A poll that fails is a test that hangs: a busy machine must not decide which.
    expect: { poll: { timeout: 30_000 } },
    coverage: {
      include: ["packages/*/src/**/*.ts"],
      exclude: [
        "packages/*/src/**/*.test.ts",
        "packages/sluice/src/stores/redis/scripts/generated.ts",
      ],
    },
  },
});
