import { test } from "vitest";
import { checkTypes, markdownSnippets, runSnippet } from "../support/snippets.js";

const snippets = markdownSnippets("README.md");

for (const snippet of snippets) {
  test(`${snippet.name} runs and prints what it says`, async () => {
    await runSnippet(snippet);
  });
}

test("the README's code has the right types", async () => {
  await checkTypes(snippets);
});
