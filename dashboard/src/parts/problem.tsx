/** What went wrong with a visitor's request. */
import type { DashboardProblem } from "../../../packages/cli/src/dashboard/wire.js";
import { textOf } from "../data/api.js";
import { withoutPath } from "./refused.js";

type Line = NonNullable<DashboardProblem["problems"]>[number];

const placeOf = ({ line, path }: Line): string => (line === undefined ? path : `line ${line}`);

export function Problem({
  problem,
  goTo,
}: {
  readonly problem: DashboardProblem | undefined;
  /** Leads to a line of a document. */
  readonly goTo?: (line: number) => void;
}) {
  return (
    <div role="alert">
      {problem !== undefined && (
        <div class="problem">
          {/* The detail of a document that is not valid repeats the first of its problems. */}
          <p>{problem.problems === undefined ? textOf(problem) : `${problem.title}:`}</p>
          {problem.problems !== undefined && (
            <ul>
              {problem.problems.map((each) => (
                <li key={`${each.path} ${each.message}`}>
                  {each.line !== undefined && goTo !== undefined ? (
                    <button type="button" class="link" onClick={() => goTo(each.line ?? 1)}>
                      {placeOf(each)}
                    </button>
                  ) : (
                    <b>{placeOf(each)}</b>
                  )}
                  : {each.line === undefined ? withoutPath(each.path, each.message) : each.message}
                </li>
              ))}
            </ul>
          )}
        </div>
      )}
    </div>
  );
}
