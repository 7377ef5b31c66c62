// Rare events for people, on the channels that DEBUG selects (DEBUG=faultline:fs:*). No part of the model: off
// unless asked for, and then beside the trace, which has everything. Ask `enabled` before building a message.

import createDebug, { type Debugger } from "debug";

/** Locks that move between nodes. */
export const glockLog: Debugger = createDebug("faultline:fs:glock");
/** Nodes that come, crash, recover or withdraw. */
export const mountLog: Debugger = createDebug("faultline:fs:mount");
/** Requests and volume calls that failed. */
export const diskLog: Debugger = createDebug("faultline:fs:disk");
