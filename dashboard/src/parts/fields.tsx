/** Labelled fields, each bound to a signal. */
import type { Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { forgetRefusal, refusalOf } from "./refused.js";

/** What an input may be given, of all that HTML has. */
interface FieldProps {
  readonly label: string;
  /** Of its form or unit, beside the label. */
  readonly hint?: string;
  readonly value: Signal<string>;
  /** What a refusal calls it: shown here, until something else is typed. */
  readonly name?: string;
  readonly type?: "text" | "search" | "password" | "number" | "datetime-local";
  readonly required?: boolean;
  readonly placeholder?: string;
  readonly autoComplete?: string;
  readonly min?: string;
  readonly max?: string;
  readonly step?: string;
  readonly list?: string;
}

export function Field({ label, hint, value, name, type = "text", ...rest }: FieldProps) {
  const refusal = refusalOf(name);
  const told = `refused-${name ?? ""}`;
  const refused = refusal !== undefined && { "aria-invalid": true, "aria-describedby": told };
  return (
    <div class="field">
      <label>
        <span>
          {label}
          {hint !== undefined && <small> {hint}</small>}
        </span>
        <input
          {...({ autoComplete: "off", spellcheck: false, ...rest, type, ...refused } as object)}
          value={value.value}
          onInput={(event) => {
            value.value = event.currentTarget.value;
            forgetRefusal(name);
          }}
        />
      </label>
      {refusal !== undefined && (
        <p id={told} class="refusal" role="alert">
          {refusal}
        </p>
      )}
    </div>
  );
}

export function Choice<Name extends string>({
  label,
  options,
  value,
}: {
  readonly label: string;
  readonly options: Readonly<Record<Name, string>>;
  readonly value: Signal<Name>;
}) {
  return (
    <label class="field">
      <span>{label}</span>
      <select
        value={value.value}
        onChange={(event) => {
          value.value = event.currentTarget.value as Name;
        }}
      >
        {Object.entries<string>(options).map(([name, text]) => (
          <option key={name} value={name}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

/** One of a few, and below them the fields of the one that is chosen. */
export function Radios<Name extends string>({
  legend,
  name,
  options,
  value,
  fields,
}: {
  readonly legend: string;
  readonly name: string;
  readonly options: Readonly<Partial<Record<Name, string>>>;
  readonly value: Signal<Name>;
  readonly fields?: Readonly<Partial<Record<Name, ComponentChildren>>>;
}) {
  return (
    <>
      <fieldset>
        <legend>{legend}</legend>
        {Object.entries<string | undefined>(options).map(([each, text]) => (
          <label key={each} class="radio">
            <input
              type="radio"
              name={name}
              checked={value.value === each}
              onChange={() => {
                value.value = each as Name;
              }}
            />
            {text}
          </label>
        ))}
      </fieldset>
      {fields?.[value.value]}
    </>
  );
}
