/** Whether what one connection publishes reaches another, as waiters and followers need. */
import { startTimer } from "../../../core/clock.js";
import { digests } from "../../../core/digest.js";
import type { RunScript } from "../clients/client.js";
import type { Subscriber } from "../subscriber.js";
import { finding, type StoreFinding } from "./finding.js";

/** How long to wait for the subscription, and then for the message. */
const WAIT_MS = 2000;

const publishBy = (command: "PUBLISH" | "SPUBLISH"): string =>
  `return redis.call('${command}', ARGV[1], '')`;

interface Parts {
  readonly run: RunScript;
  readonly isCluster: boolean;
  readonly subscriber: Subscriber;
}

export async function checkMessages(
  { run, isCluster, subscriber }: Parts,
  { key, channel }: { readonly key: string; readonly channel: string },
): Promise<StoreFinding> {
  const asking = "waiters of semaphores, and followers of documents and overrides, ask instead";
  if (!subscriber.canSubscribe) {
    return finding("messages", "note", `This client does not subscribe: ${asking}.`);
  }
  const live = signalled();
  const message = signalled();
  const subscription = subscriber.subscribe(channel, live.fire, message.fire, true);
  try {
    if (!(await live.within(WAIT_MS))) {
      const text = `No channel could be subscribed to: ${asking}. The user needs the channels of its namespace (&sluice:*).`;
      return finding("messages", "warning", text);
    }
    const source = publishBy(isCluster ? "SPUBLISH" : "PUBLISH");
    await run(digests.sha1(source), source, [key], [channel]).catch(() => {});
    if (await message.within(WAIT_MS)) {
      return finding("messages", "ok", "What is published arrives: waiters are notified.");
    }
    return finding(
      "messages",
      "warning",
      `A message that was published did not arrive: ${asking}.`,
    );
  } finally {
    subscription.end();
  }
}

/** Something that happens once. */
function signalled(): {
  readonly fire: () => void;
  readonly within: (ms: number) => Promise<boolean>;
} {
  let fire = (): void => {};
  const fired = new Promise<boolean>((resolve) => {
    fire = () => {
      resolve(true);
    };
  });
  return {
    fire: () => {
      fire();
    },
    within: async (ms) => {
      let end = (): void => {};
      const late = new Promise<boolean>((resolve) => {
        const timer = startTimer(ms, () => {
          resolve(false);
        });
        end = () => {
          timer.cancel();
        };
      });
      const isFired = await Promise.race([fired, late]);
      end();
      return isFired;
    },
  };
}
