import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    globalSetup: "test/support/global-setup.ts",
    setupFiles: "test/support/leaks.ts",
    pool: "forks",
    // Tests start servers and processes of their own; more workers would starve their deadlines.
    maxWorkers: 2,
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
