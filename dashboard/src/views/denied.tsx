/** The keys that were denied most, and what can be done about each. */
import { signal } from "@preact/signals";
import type { DeniedKey, RuleState } from "../../../packages/cli/src/dashboard/wire.js";
import { count } from "../data/format.js";
import { mayWrite, state } from "../data/model.js";
import { useHeldOrder } from "../parts/held-order.js";
import { Panel, Scroller } from "../parts/panel.js";
import { KeyButtons } from "./key-change.js";
import { lookUpId } from "./looked-up.js";

const AT_FIRST = 10;
const isAll = signal(false);

const keyOf = ({ rule, id }: DeniedKey): string => `${rule} ${id}`;

/** Of a key whose overrides are not known here. */
const limitOf = (rule: RuleState | undefined): string =>
  rule === undefined ? "" : `${rule.limit}, or its override; `;

const timesOf = ({ atLeast, atMost }: DeniedKey): string =>
  atLeast === atMost ? count(atLeast) : `${count(atLeast)}–${count(atMost)}`;

export function Denied() {
  const keys = state.value?.topDenied ?? [];
  const { element, ordered } = useHeldOrder(keys, keyOf, String(isAll.value));
  const shown = isAll.value ? ordered : ordered.slice(0, AT_FIRST);
  const rules = new Map(state.value?.rules.map((each) => [each.rule, each]));
  // A limiter beside the rules has no document to change.
  const isChangeable = ({ rule }: DeniedKey): boolean =>
    !rules.has(rule) || rules.get(rule)?.fields !== undefined;
  return (
    <Panel id="denied" title="Keys denied most" note="times in this minute and the one before">
      {keys.length === 0 ? (
        <p class="empty">No key was denied.</p>
      ) : (
        <Scroller label="Keys denied most">
          <table>
            <thead>
              <tr>
                <th scope="col">Key</th>
                <th scope="col">Rule</th>
                <th scope="col" class="number">
                  Denied
                </th>
                {mayWrite.value && <th scope="col">Change</th>}
              </tr>
            </thead>
            <tbody ref={element}>
              {shown.map((key) => (
                <tr key={keyOf(key)}>
                  <th scope="row">
                    <button
                      type="button"
                      class="link"
                      onClick={() => void lookUpId(key.rule, key.id)}
                    >
                      {key.label ?? key.id}
                      <span class="sr"> of {key.rule}: look it up</span>
                    </button>
                    {key.label !== undefined && <small> {key.id}</small>}
                  </th>
                  <td>{key.rule}</td>
                  <td class="number">{timesOf(key)}</td>
                  {mayWrite.value && (
                    <td>
                      {isChangeable(key) && (
                        <KeyButtons
                          target={{
                            rule: key.rule,
                            id: key.id,
                            label: key.label ?? key.id,
                            before: `${limitOf(rules.get(key.rule))}denied ${timesOf(key)} ${key.atMost === 1 ? "time" : "times"}`,
                          }}
                          changes={["block", "unblock", "reset", "override"]}
                        />
                      )}
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </Scroller>
      )}
      {keys.length > AT_FIRST && (
        <p class="note">
          {shown.length} of {keys.length} keys.{" "}
          <button
            type="button"
            aria-pressed={isAll.value}
            onClick={() => {
              isAll.value = !isAll.value;
            }}
          >
            Show all
          </button>
        </p>
      )}
    </Panel>
  );
}
