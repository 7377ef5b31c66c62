// Revisions by the names of the command line.

import { type Gfs2Revision, REVISIONS } from "@faultline/fs";
import { UsageError } from "./usage.ts";

/** The revision that --kernel names. */
export function readRevision(name: string | undefined, option = "--kernel"): Gfs2Revision {
  const known = Object.keys(REVISIONS).join(", ");
  if (name === undefined) throw new UsageError(`${option} is missing; there are ${known}`);
  if (!Object.hasOwn(REVISIONS, name)) throw new UsageError(`there is no revision "${name}"; there are ${known}`);
  return REVISIONS[name];
}
