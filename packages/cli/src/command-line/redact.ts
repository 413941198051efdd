/** Takes passwords out of what is printed. */

/** What replaces a password. */
const MASK = "***";

/** A connection URL fit to be shown: without its password, or any other part of a URL it cannot read. */
export function redactUrl(url: string): string {
  return url.replace(
    /^([a-z][a-z0-9+.-]*:\/\/)?(?:([^/?#]*)@)?/i,
    (_, scheme = "", userinfo?: string) => {
      if (userinfo === undefined) return scheme as string;
      const user = userinfo.split(":")[0] ?? "";
      return `${scheme as string}${userinfo.includes(":") ? `${user}:${MASK}` : MASK}@`;
    },
  );
}

/** Takes a URL's password out of any text, in the forms in which libraries may repeat it. */
export function redactSecrets(text: string, url: string | undefined): string {
  if (url === undefined) return text;
  let safe = text.replaceAll(url, redactUrl(url));
  for (const secret of secretsOf(url)) safe = withoutSecret(safe, secret);
  return safe;
}

/** A shorter one is a part of many words: to mask it there would say what it is. */
const SHORTEST_IN_WORDS = 4;

function withoutSecret(text: string, secret: string): string {
  if (secret.length >= SHORTEST_IN_WORDS) return text.replaceAll(secret, MASK);
  const literal = secret.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
  const alone = String.raw`(?<![\p{L}\p{N}])${literal}(?![\p{L}\p{N}])`;
  return text.replaceAll(new RegExp(alone, "gu"), MASK);
}

/** Longest first, so that no secret is masked only in part. */
function secretsOf(url: string): readonly string[] {
  const userinfo = /^(?:[a-z][a-z0-9+.-]*:\/\/)?([^/?#]*)@/i.exec(url)?.[1];
  if (userinfo === undefined) return [];
  const password = userinfo.slice(userinfo.indexOf(":") + 1);
  const forms = [password, decoded(password)].filter((form) => form.length > 0);
  return [...new Set(forms)].sort((a, b) => b.length - a.length);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
