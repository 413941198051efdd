/** Asks for the token. It is sent by a script, since the page's policy lets no form send itself. */
import { signal } from "@preact/signals";
import { held } from "../data/held.js";
import { logIn } from "../data/model.js";
import { Field } from "../parts/fields.js";
import { Problem } from "../parts/problem.js";

const token = signal("");
const outcome = held<undefined>();

async function submit(event: Event): Promise<void> {
  event.preventDefault();
  const sent = token.value.trim();
  if (await outcome.load(logIn(sent).then(() => undefined))) token.value = "";
}

export function LogIn({ why, canLogIn }: { readonly why: string; readonly canLogIn: boolean }) {
  if (!canLogIn) {
    return (
      <main class="login">
        <h1>Sluice</h1>
        <p role="alert">{why}</p>
      </main>
    );
  }
  return (
    <main class="login">
      <h1>Sluice</h1>
      <form onSubmit={(event) => void submit(event)}>
        <p>{why}</p>
        <Field
          label="Token"
          type="password"
          autoComplete="current-password"
          required
          value={token}
        />
        <Problem problem={outcome.problem.value} />
        <div class="actions">
          <button type="submit" class="main" aria-busy={outcome.isBusy.value}>
            Log in
          </button>
        </div>
      </form>
    </main>
  );
}
