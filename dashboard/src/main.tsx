import { render } from "preact";

const page = document.querySelector("#page");
if (page !== null) render(<h1>Sluice</h1>, page);
