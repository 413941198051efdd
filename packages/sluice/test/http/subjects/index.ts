/** The adapters that the conformance suite runs over: a line each. */
import type { HttpSubject } from "../../../src/testing/http/subject.js";
import { express, expressBefore } from "./express.js";
import { fastify } from "./fastify.js";
import { hono } from "./hono.js";
import { koa } from "./koa.js";
import { nestExpress, nestFastify } from "./nest.js";
import { node } from "./node.js";
import { web } from "./web.js";

export const subjects: readonly HttpSubject[] = [
  node,
  express,
  expressBefore,
  fastify,
  koa,
  hono,
  web,
  nestExpress,
  nestFastify,
];
