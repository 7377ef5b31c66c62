// Every revision, by the name that the command line and the recordings use.

import type { Gfs2Revision } from "../revision.ts";
import { GFS2_5_10, GFS2_6_1, GFS2_6_12, GFS2_7_2 } from "./kernels.ts";

/** Oldest first. */
export const REVISIONS: Readonly<Record<string, Gfs2Revision>> = Object.fromEntries(
  [GFS2_5_10, GFS2_6_1, GFS2_6_12, GFS2_7_2].map((revision) => [revision.name, revision]),
);
