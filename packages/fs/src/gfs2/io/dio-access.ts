// How gfs2's direct I/O reaches the buffer, before the fix and after.

import type { Faulting } from "@faultline/kernel";
import { FAULTS_DISABLED, FAULTS_ENABLED } from "@faultline/mm";
import { GRAB_FAST_ONLY, GRAB_FAULTING, GRAB_NOFAULT } from "@faultline/uio";
import type { DioAccess } from "../../iomap/direct-io.ts";

/** Faults are taken under the glock. */
export const DIO_FAULTING: DioAccess<Faulting> = { user: FAULTS_ENABLED, grab: GRAB_FAULTING };

/** pagefault_disable() for copies, iter.nofault for page references: neither alone would do. */
export const DIO_NOFAULT: DioAccess<never> = { user: FAULTS_DISABLED, grab: GRAB_NOFAULT };

/** As the patch under discussion had it: only the fast walk, which refuses the zero page and other special entries. */
export const DIO_FAST_ONLY: DioAccess<never> = { user: FAULTS_DISABLED, grab: GRAB_FAST_ONLY };
