/** As much of a DOM as Preact needs to draw a view in Node, so that views are tested without a browser. */
import { type ComponentChild, render } from "preact";
import { act } from "preact/test-utils";

type Listener = (this: FakeNode, event: object) => unknown;

export class FakeNode {
  readonly nodeType: number;
  readonly localName: string;
  readonly childNodes: FakeNode[] = [];
  readonly attributes = new Map<string, string>();
  readonly style: Record<string, string> = {};
  parentNode: FakeNode | null = null;
  data: string;
  /** Whether `:hover` or `:focus-within` is true of it. */
  isVisited = false;
  readonly #listeners = new Map<string, Listener>();

  constructor(localName: string, data = "") {
    this.localName = localName;
    this.nodeType = localName === "#text" ? 3 : 1;
    this.data = data;
  }

  get firstChild(): FakeNode | null {
    return this.childNodes[0] ?? null;
  }

  get nextSibling(): FakeNode | null {
    const siblings = this.parentNode?.childNodes ?? [];
    return siblings[siblings.indexOf(this) + 1] ?? null;
  }

  get textContent(): string {
    return this.nodeType === 3
      ? this.data
      : this.childNodes.map((each) => each.textContent).join("");
  }

  insertBefore(node: FakeNode, before: FakeNode | null): FakeNode {
    node.remove();
    const at = before === null ? this.childNodes.length : this.childNodes.indexOf(before);
    this.childNodes.splice(at, 0, node);
    node.parentNode = this;
    return node;
  }

  appendChild(node: FakeNode): FakeNode {
    return this.insertBefore(node, null);
  }

  removeChild(node: FakeNode): void {
    node.remove();
  }

  remove(): void {
    const siblings = this.parentNode?.childNodes;
    siblings?.splice(siblings.indexOf(this), 1);
    this.parentNode = null;
  }

  contains(node: FakeNode | null): boolean {
    return node !== null && (node === this || this.contains(node.parentNode));
  }

  setAttribute(name: string, value: unknown): void {
    this.attributes.set(name, String(value));
  }

  removeAttribute(name: string): void {
    this.attributes.delete(name);
  }

  addEventListener(type: string, listener: Listener): void {
    this.#listeners.set(type, listener);
  }

  removeEventListener(type: string): void {
    this.#listeners.delete(type);
  }

  matches(): boolean {
    return this.isVisited;
  }

  querySelector(name: string): FakeNode | null {
    return this.all(name)[0] ?? null;
  }

  getBoundingClientRect(): object {
    return { left: 0, width: 1000 };
  }

  /** Of a field. */
  value = "";
  /** Of a dialog. */
  open = false;

  showModal(): void {
    this.open = true;
  }

  close(): void {
    this.open = false;
    this.fire("close");
  }

  closest(name: string): FakeNode | null {
    return this.localName === name ? this : (this.parentNode?.closest(name) ?? null);
  }

  focus(): void {}

  /** Calls the listener for an event on this node. */
  fire(type: string, event: object = {}): void {
    const sent = { type, currentTarget: this, preventDefault: () => undefined, ...event };
    this.#listeners.get(type)?.call(this, sent);
  }

  /** Every element below with this name, and with this class if one is given. */
  all(name: string, className?: string): readonly FakeNode[] {
    return this.childNodes.flatMap((node) => {
      const isWanted =
        node.localName === name && (className === undefined || node.classes.includes(className));
      return [...(isWanted ? [node] : []), ...node.all(name, className)];
    });
  }

  get classes(): readonly string[] {
    return (this.attributes.get("class") ?? "").split(" ");
  }

  /** The one element below with this name whose text begins so. @throws if there is none */
  one(name: string, text = ""): FakeNode {
    const found = this.all(name).find((node) => node.textContent.startsWith(text));
    if (found === undefined) throw new Error(`no <${name}> begins with "${text}"`);
    return found;
  }
}

/** What a page has beside its nodes; `hidden` and `activeElement` may be set, and `onSeen` called. */
export const fakeDocument = {
  hidden: false,
  activeElement: null as FakeNode | null,
  body: new FakeNode("body"),
  createElement: (name: string): FakeNode => new FakeNode(name),
  createElementNS: (_: string, name: string): FakeNode => new FakeNode(name),
  createTextNode: (text: string): FakeNode => new FakeNode("#text", text),
  onSeen: (): void => {},
  addEventListener(type: string, listener: () => void): void {
    if (type === "visibilitychange") this.onSeen = listener;
  },
};

const drawn: FakeNode[] = [];

/** Draws a view, and what becomes of it when its signals change. */
export async function draw(view: ComponentChild): Promise<FakeNode> {
  const root = new FakeNode("main");
  await change(() => {
    render(view, root as unknown as Element);
  });
  drawn.push(root);
  return root;
}

/** Takes away all that was drawn. */
export async function erase(): Promise<void> {
  await change(() => {
    for (const root of drawn.splice(0)) render(null, root as unknown as Element);
  });
}

/** Does something to signals or fields, and waits until the views show it. */
export async function change(work: () => unknown): Promise<void> {
  await act(async () => {
    await work();
  });
}
