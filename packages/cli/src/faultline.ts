#!/usr/bin/env node
// The `faultline` command. Everything but the process itself is in main.ts.

import { hostIo } from "./io.ts";
import { main } from "./main.ts";

process.exitCode = await main(process.argv.slice(2), hostIo());
