/** Callers who pass options on have `undefined` where they were given none: no member that users see may refuse that. */
import { expect, test } from "vitest";
import { librarySources, programSources } from "../../../../scripts/library-sources.mjs";
import {
  child,
  children,
  keyOf,
  nameOf,
  seen,
  Sources,
} from "../../../../scripts/public-surface.mjs";

type Id = Parameters<typeof keyOf>[0];
type Node = Exclude<ReturnType<typeof child>, undefined>;

/** Types that hold undefined, or whatever there is. */
const WIDE = /^TS(?:Undefined|Unknown|Any|Never)Keyword$/;

function allowsUndefined(type: Node | undefined): boolean {
  if (type === undefined || WIDE.test(type.type)) return true;
  return type.type === "TSUnionType" && children(type, "types").some(allowsUndefined);
}

/** Optional properties whose type leaves out undefined, in all that can be reached from an entry point. */
function exactMembers(sources: Sources, entries: Readonly<Record<string, string>>): string[] {
  const exported = Object.values(entries).flatMap((file) => [...sources.exportsOf(file).values()]);
  // The shapes of other libraries are theirs; of a constructor's two signatures the second takes undefined.
  const isOurs = ({ file, name }: Id): boolean =>
    !file.endsWith("-types.ts") &&
    !file.includes("/redis/clients/") &&
    !/^(?:RateLimiter|Semaphore)Constructor$/.test(name);
  return [...sources.reachable(exported).values()].filter(isOurs).flatMap((id) =>
    sources
      .declarationsOf(id)
      .flatMap((node) => [...seen(node)])
      .filter(({ type, optional }) => /^TSProp|^PropertyDef/.test(type) && optional === true)
      .filter((member) => {
        const annotation = child(member, "typeAnnotation");
        return !allowsUndefined(annotation && child(annotation, "typeAnnotation"));
      })
      .map((member) => `${keyOf(id)}.${nameOf(child(member, "key"))}`),
  );
}

test("every optional member that users see may be undefined", () => {
  const entries = { ...librarySources(), ...programSources() };
  expect(exactMembers(new Sources(), entries)).toEqual([]);
});

test.each([
  ["export interface A { b?: 1 }", ["index.ts#A.b"]],
  ["export interface A { readonly b?: 1 | 2 }", ["index.ts#A.b"]],
  ["export type A = { b?: { readonly c?: 1 } | undefined };", ["index.ts#A.c"]],
  ["export class A { b?: 1 }", ["index.ts#A.b"]],
  ["export function a(b: { c?: 1 }): void {}", ["index.ts#a.c"]],
  ["interface B { c?: 1 }\nexport function a(b: B): void {}", ["index.ts#B.c"]],
  ["interface B { c?: 1 }\nexport function a(b?: 1): void { const d: B = {}; }", []],
  ["export interface A { b?: 1 | undefined; c?: unknown; d?(): void }", []],
])("in %j a member that refuses undefined is seen", (text, exact) => {
  expect(exactMembers(new Sources(() => text), { sluice: "index.ts" })).toEqual(exact);
});
