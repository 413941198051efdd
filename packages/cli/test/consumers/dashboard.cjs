const assert = require("node:assert/strict");
const { dashboard } = require("@sluice/cli/dashboard");
const { PolicySet } = require("sluice/policies");

async function main() {
  const policies = new PolicySet({ source: { rules: [] } });
  assert.throws(() => dashboard({ policies }), { name: "InvalidOptionError" });
  const board = dashboard({ policies, auth: () => "read" });
  const state = await board(new Request("http://localhost/api/state"));
  assert.equal((await state.json()).rulesTotal, 0);
  await board.close();
  await policies.close();
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
