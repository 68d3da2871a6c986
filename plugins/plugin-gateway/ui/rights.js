// @ts-check
/**
 * What who looks at the pages may do with the gateway.
 */
import { may } from "../.well-known/buntime/ui/access.js";

const COVERS = { admin: ["*"] };

/**
 * Whether somebody may reset limits, log, history and cache.
 * @param {import("../.well-known/buntime/ui/access.js").Somebody | null} somebody
 */
export function mayReset(somebody) {
  return may(somebody, "gateway", "admin", COVERS);
}
