/** Which format a scraper wants, by its Accept field. */
import type { ExpositionFormat } from "./exposition.js";

/** More of a field is not read: scrapers name a handful of types. */
const LONGEST_ACCEPT = 1024;

/** OpenMetrics if it is named and weighs no less than plain text; else Prometheus' own. */
export function formatFor(accept: string | null | undefined): ExpositionFormat {
  const types = (accept ?? "").slice(0, LONGEST_ACCEPT).toLowerCase().split(",");
  const weightOf = (name: string): number =>
    Math.max(0, ...types.filter((type) => type.split(";")[0]?.trim() === name).map(weight));
  const openmetrics = weightOf("application/openmetrics-text");
  const isWanted = openmetrics > 0 && openmetrics >= weightOf("text/plain");
  return isWanted ? "openmetrics" : "prometheus";
}

function weight(type: string): number {
  const text = type
    .split(";")
    .map((parameter) => parameter.trim())
    .find((parameter) => parameter.startsWith("q="));
  const number = text === undefined ? 1 : Number(text.slice(2));
  return Number.isNaN(number) ? 0 : number;
}
