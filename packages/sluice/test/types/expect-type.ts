/** Fails to compile unless the value is of the type. */
export function expectType<T>(_value: T): void {}

/** true where the two types are the same, else false. */
export type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
