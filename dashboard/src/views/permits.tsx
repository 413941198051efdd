/** Who holds and who waits for one key of a semaphore, and the end of its permits. */
import { signal } from "@preact/signals";
import type { PermitsAsked, PermitsListed } from "../../../packages/cli/src/dashboard/wire.js";
import { post } from "../data/api.js";
import { count, moment } from "../data/format.js";
import { held } from "../data/held.js";
import { mayWrite, nowMs } from "../data/model.js";
import { CommentField, commentTyped } from "../parts/comment.js";
import { askFirst } from "../parts/dialog.js";
import { Field } from "../parts/fields.js";
import { Problem } from "../parts/problem.js";

/** The semaphore whose permits are looked up. */
const chosen = signal<string | undefined>(undefined);
const key = signal("");
/** What was listed, and for what: another semaphore may be chosen since, and the field say another key. */
const found = held<PermitsAsked & PermitsListed>();

const lookUp = (asked: PermitsAsked): Promise<boolean> =>
  found.load(post<PermitsListed>("permits", asked).then((listed) => ({ ...asked, ...listed })));

/** A semaphore's name, which leads to its permits if they can be listed here. */
export function SemaphoreName({
  name,
  canList,
}: {
  readonly name: string;
  readonly canList: boolean;
}) {
  if (!canList) return <>{name}</>;
  const choose = () => {
    chosen.value = name;
    found.value.value = undefined;
    found.problem.value = undefined;
  };
  return (
    <button type="button" class="link" onClick={choose}>
      {name}
      <span class="sr">: list the permits of a key</span>
    </button>
  );
}

function endAll(asked: PermitsAsked): void {
  askFirst({
    title: `End all permits of ${asked.key} in ${asked.semaphore}`,
    action: "End them",
    isGrave: true,
    Body: () => (
      <>
        <p>The next in line get theirs at once. The holders learn of it when they renew.</p>
        <CommentField />
      </>
    ),
    run: async () => {
      await post("endpermits", { ...asked, ...commentTyped() });
      await lookUp(asked);
    },
    done: "Ended.",
  });
}

function Listed({ listed }: { readonly listed: PermitsListed }) {
  const now = nowMs();
  return (
    <>
      <p>
        {count(listed.held)} of {count(listed.limit)} held, {count(listed.waiting)} waiting
      </p>
      <ul aria-label="Permits, the oldest first, and those who wait">
        {listed.holders.map(({ fencingToken, weight, sinceMs, untilMs }) => (
          <li key={fencingToken}>
            permit {fencingToken}, weight {count(weight)}: since {moment(sinceMs, now)}, lease until{" "}
            {moment(untilMs, now)}
          </li>
        ))}
        {listed.waiters.map(({ weight, sinceMs }, i) => (
          <li key={`${i} ${sinceMs}`}>
            waiting, weight {count(weight)}: since {moment(sinceMs, now)}
          </li>
        ))}
      </ul>
    </>
  );
}

export function Permits() {
  const name = chosen.value;
  if (name === undefined) return null;
  const submit = (event: Event) => {
    event.preventDefault();
    void lookUp({ semaphore: name, key: key.value });
  };
  const last = found.value.value;
  const listed = last?.semaphore === name ? last : undefined;
  return (
    <form class="permits" onSubmit={submit}>
      <h3>Permits of {name}</h3>
      <div class="fields">
        <Field label="Key" hint="as the code passes it" required value={key} />
      </div>
      <div class="actions">
        <button type="submit" class="main" aria-busy={found.isBusy.value}>
          List
        </button>
        {mayWrite.value && listed !== undefined && listed.held > 0 && (
          <button type="button" onClick={() => endAll({ semaphore: name, key: listed.key })}>
            End all permits…
          </button>
        )}
      </div>
      <Problem problem={found.problem.value} />
      {listed !== undefined && <Listed listed={listed} />}
    </form>
  );
}
