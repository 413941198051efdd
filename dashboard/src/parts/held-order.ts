/** Rows keep their order while the visitor is among them, by pointer or by focus. */
import { useRef } from "preact/hooks";
import { keepOrder } from "../data/rows.js";

export function useHeldOrder<Row>(
  rows: readonly Row[],
  keyOf: (row: Row) => string,
  /** Of what the rows are: when it changes, the visitor wants another order. */
  choice: string,
) {
  const element = useRef<HTMLTableSectionElement>(null);
  const former = useRef<{ choice: string; keys: readonly string[] }>({ choice, keys: [] });
  const isHeld =
    former.current.choice === choice && element.current?.matches(":hover, :focus-within") === true;
  const ordered = isHeld ? keepOrder(rows, former.current.keys, keyOf) : rows;
  former.current = { choice, keys: ordered.map(keyOf) };
  return { element, ordered };
}
