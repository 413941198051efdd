/** Draws the page, and begins to ask. */
import { render } from "preact";
import { startPolling } from "./data/model.js";
import { App } from "./views/app.js";

const page = document.querySelector("#page");
if (page !== null) render(<App />, page);
void startPolling();
