/** Stores over the wire: one that asks a decision service, and what answers it there. */
export { RemoteStore, type RemoteStoreOptions } from "./remote-store.js";
export type { RemoteTargetOptions } from "./target.js";
export {
  storeHandler,
  type StoreAnswer,
  type StoreHandler,
  type StoreHandlerOptions,
} from "./handler/store-handler.js";
