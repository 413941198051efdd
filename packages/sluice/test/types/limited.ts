/** What the decorator accepts, and that it keeps the types of methods. Checked by the compiler alone. */
import { type Acquirer, limited } from "../../src/index.js";
import { type Equal, expectType } from "./expect-type.js";

declare const limiter: Acquirer;

class Typed {
  @limited({ limiter, key: "k" })
  async anyArguments(n: number, text?: string): Promise<string> {
    return `${n}${text}`;
  }

  @limited({ limiter, key: (user: string) => user, cost: 2, maxWait: "1s" })
  async moreThanTheKeyNeeds(user: string, n: number): Promise<string> {
    return user.repeat(n);
  }

  // @ts-expect-error the key is made from a string, the method takes a number
  @limited({ limiter, key: (user: string) => user })
  async wrongKey(n: number): Promise<number> {
    return n;
  }

  // @ts-expect-error a method that waits cannot answer at once
  @limited({ limiter, key: "k" })
  atOnce(): number {
    return 1;
  }
}

type Method = (user: string, n: number) => Promise<string>;
expectType<Equal<Typed["moreThanTheKeyNeeds"], Method>>(true);
