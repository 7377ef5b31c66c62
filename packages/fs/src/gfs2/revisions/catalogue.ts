// Every revision, by the name that the command line and the recordings use.

import type { Gfs2Revision } from "../revision.ts";
import { CURES } from "./cures/catalogue.ts";
import { GFS2_5_10, GFS2_6_1, GFS2_6_12, GFS2_7_2 } from "./kernels.ts";
import { GFS2_5_16, GFS2_5_18, GFS2_V4 } from "./unrecorded.ts";

/** Kernels, oldest first, then the cures. */
export const REVISIONS: Readonly<Record<string, Gfs2Revision>> = Object.fromEntries(
  [GFS2_5_10, GFS2_V4, GFS2_5_16, GFS2_5_18, GFS2_6_1, GFS2_6_12, GFS2_7_2, ...CURES].map((revision) => [
    revision.name,
    revision,
  ]),
);
