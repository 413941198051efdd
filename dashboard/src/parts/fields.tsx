/** Labelled fields, each bound to a signal. */
import type { Signal } from "@preact/signals";

/** What an input may be given, of all that HTML has. */
interface FieldProps {
  readonly label: string;
  /** Of its form or unit, beside the label. */
  readonly hint?: string;
  readonly value: Signal<string>;
  readonly type?: "text" | "search" | "password" | "number" | "datetime-local";
  readonly required?: boolean;
  readonly placeholder?: string;
  readonly autoComplete?: string;
  readonly min?: string;
  readonly max?: string;
  readonly step?: string;
  readonly list?: string;
}

export function Field({ label, hint, value, type = "text", ...rest }: FieldProps) {
  return (
    <label class="field">
      <span>
        {label}
        {hint !== undefined && <small> {hint}</small>}
      </span>
      <input
        {...({ autoComplete: "off", spellcheck: false, ...rest, type } as object)}
        value={value.value}
        onInput={(event) => {
          value.value = event.currentTarget.value;
        }}
      />
    </label>
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

export function Radios<Name extends string>({
  legend,
  name,
  options,
  value,
}: {
  readonly legend: string;
  readonly name: string;
  readonly options: Readonly<Record<Name, string>>;
  readonly value: Signal<Name>;
}) {
  return (
    <fieldset>
      <legend>{legend}</legend>
      {Object.entries<string>(options).map(([each, text]) => (
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
  );
}
