/** How each proxy starts with its configuration: everything it writes goes into a directory of its own. */
import { join } from "node:path";
import { configured, put, replaced, type Setup } from "./programs.js";

export interface Variant {
  /** Whether requests pass where there is no decision. */
  readonly failing: "open" | "closed";
  /** "long": a service that a busy machine keeps waiting is not a slow one. */
  readonly patience: "as it is" | "long";
}

/** Without the lines that are marked. */
const unmarked = (text: string): string => replaced(text, /^.*# fail open\n/gm, "");

const patient = (text: string, patience: Variant["patience"]): string =>
  patience === "long" ? replaced(text, /\b(?:50|300)ms\b/g, "100s") : text;

export const SETUPS: Readonly<Record<string, (variant: Variant) => Setup>> = {
  nginx: ({ failing, patience }) => ({
    program: "usr/sbin/nginx",
    prepare(directory, addresses) {
      const text = patient(configured("nginx/sluice.conf", addresses, "8080"), patience);
      put(directory, "sluice.conf", failing === "open" ? text : unmarked(text));
      const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
        (name) => `${name}_temp_path ${join(directory, "run", name)};`,
      );
      const http = `access_log off; ${paths.join(" ")} include ${directory}/sluice.conf;`;
      const main = `daemon off; worker_processes 1; pid ${directory}/run/pid; error_log stderr;`;
      const user = process.getuid?.() === 0 ? "user root root;" : "";
      return [
        "-p",
        directory,
        "-e",
        "stderr",
        "-c",
        put(directory, "nginx.conf", `${main} ${user} events {} http { ${http} }`),
      ];
    },
  }),
  Caddy: ({ failing, patience }) => ({
    program: "usr/bin/caddy",
    prepare(directory, addresses) {
      const plain = patient(configured("caddy/Caddyfile", addresses, ":8080"), patience);
      const text = plain.replace(`${addresses.own} {`, `http://${addresses.own} {`);
      const own = "{\n\tadmin off\n\tauto_https off\n}\n";
      const whole = own + (failing === "open" ? text : unmarked(text));
      return ["run", "--adapter", "caddyfile", "--config", put(directory, "Caddyfile", whole)];
    },
  }),
  HAProxy: ({ failing, patience }) => ({
    program: "usr/sbin/haproxy",
    prepare(directory, addresses) {
      // Names of such sockets are the machine's.
      const socket = `abns@sluice-${addresses.own}`;
      const lua = replaced(
        configured("haproxy/sluice.lua", addresses, ":8080"),
        "abns@sluice",
        socket,
      );
      const path = put(directory, "sluice.lua", lua);
      let text = patient(configured("haproxy/haproxy.cfg", addresses, ":8080"), patience);
      text = replaced(text, "abns@sluice", socket);
      text = replaced(text, "/etc/haproxy/sluice.lua", path);
      if (failing === "closed") text = replaced(text, "str allowed broken", "str allowed");
      return ["-db", "-f", put(directory, "haproxy.cfg", text)];
    },
  }),
  Apache: ({ failing, patience }) => ({
    program: "usr/sbin/apache2",
    prepare(directory, addresses, { root, libraries }) {
      let lua = configured("apache/sluice.lua", addresses, ":8080");
      if (patience === "long") lua = replaced(lua, "= 0.05, 0.3", "= 100, 100");
      if (failing === "closed") lua = replaced(lua, "FAIL_OPEN = true", "FAIL_OPEN = false");
      const path = put(directory, "sluice.lua", lua);
      let text = configured("apache/sluice.conf", addresses, "*:8080");
      text = replaced(text, "/etc/apache2/sluice.lua", path);
      const modules = ["mpm_event", "authz_core", "lua", "headers", "proxy", "proxy_http"].map(
        (name) => `LoadModule ${name}_module ${root}/usr/lib/apache2/modules/mod_${name}.so`,
      );
      const folders = libraries.split(":");
      const main = [
        `ServerRoot ${directory}`,
        `DefaultRuntimeDir ${directory}/run`,
        `PidFile ${directory}/run/pid`,
        `ServerName localhost`,
        `ErrorLog /dev/stderr`,
        `Listen ${addresses.own}`,
        ...modules,
        `Mutex sem`,
        ...(process.getuid?.() === 0 ? ["User #65534", "Group #65534"] : []),
        `LuaPackagePath ${root}/usr/share/lua/5.3/?.lua`,
        ...folders.map((folder) => `LuaPackageCPath ${folder}/lua/5.3/?.so`),
        text,
      ];
      return ["-X", "-d", directory, "-f", put(directory, "httpd.conf", main.join("\n"))];
    },
  }),
};
