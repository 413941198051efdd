import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    globalSetup: "test/support/global-setup.ts",
    setupFiles: "test/support/leaks.ts",
    pool: "forks",
    // Tests start servers and processes of their own, and wait for them most of the time. More workers would starve
    // their deadlines on two cores, and fewer take more than five minutes.
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A poll that fails is a test that hangs: a busy machine must not decide which.
    expect: { poll: { timeout: 30_000 } },
    coverage: {
      include: ["src/**/*.ts"],
      exclude: ["src/**/*.test.ts", "src/lua/generated.ts"],
    },
  },
});
