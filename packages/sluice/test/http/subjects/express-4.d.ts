/** Of its types there are none beside those of Express 5, and what the subject uses of them is the same. */
declare module "express-4" {
  export { default } from "express";
}
