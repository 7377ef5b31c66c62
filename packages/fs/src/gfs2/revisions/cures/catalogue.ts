// The museum.

import { CURE_ALL_OR_NOTHING } from "./all-or-nothing.ts";
import { CURE_BOUNCE_BUFFER } from "./bounce-buffer.ts";
import type { Cure } from "./cure.ts";
import { CURE_FIRST_BYTE } from "./first-byte.ts";
import { CURE_HOLD_REFERENCES } from "./hold-references.ts";
import { CURE_KEEP_GLOCK } from "./keep-glock.ts";
import { CURE_PREFAULT_AND_HOPE } from "./prefault-and-hope.ts";
import { CURE_TRYLOCK_SIGBUS } from "./trylock-sigbus.ts";

/** The one that works comes last. */
export const CURES: readonly Cure[] = [
  CURE_FIRST_BYTE,
  CURE_ALL_OR_NOTHING,
  CURE_PREFAULT_AND_HOPE,
  CURE_HOLD_REFERENCES,
  CURE_KEEP_GLOCK,
  CURE_TRYLOCK_SIGBUS,
  CURE_BOUNCE_BUFFER,
];
