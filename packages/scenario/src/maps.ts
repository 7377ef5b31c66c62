// The names that a scenario gives to files, maps and descriptors while it runs.

import type { Places } from "./convert.ts";

const MIB = 1024 * 1024;
/** Maps lie in slots of their own, far apart, so that whatever runs off one is unmapped. */
const FIRST_SLOT = 0x200000000000;
const SLOT = 256 * MIB;
const OFFSET_IN_SLOT = 16 * MIB;

/** Addresses that are not user space's: beyond 47 bits, as the kernel's half and the hole between are. */
const BEYOND: Readonly<Record<string, number>> = { kernel: 2 ** 52, noncanon: 2 ** 51 };

export interface ScenarioMap {
  readonly name: string;
  readonly base: number;
  length: number;
  /** The file it shows, or "". */
  file: string;
  fileOffset: number;
}

export class Names implements Places {
  readonly maps: ScenarioMap[] = [];
  /** Descriptor numbers by name, and the files that they were opened on. */
  readonly fds: Map<string, { readonly fd: number; readonly file: string }> = new Map();
  readonly inodes: Map<number, string> = new Map();

  fd(name: string | undefined): number {
    return (name === undefined ? undefined : this.fds.get(name)?.fd) ?? -1;
  }

  map(name: string): ScenarioMap | undefined {
    return this.maps.find((map) => map.name === name);
  }

  /** The map of this name; a new one gets the next slot. */
  declareMap(name: string): ScenarioMap {
    let map = this.map(name);
    if (map === undefined) {
      const base = FIRST_SLOT + this.maps.length * SLOT + OFFSET_IN_SLOT;
      map = { name, base, length: 0, file: "", fileOffset: 0 };
      this.maps.push(map);
    }
    return map;
  }

  address(map: string, offset: number): number {
    return (BEYOND[map] ?? this.map(map)?.base ?? 0) + offset;
  }

  mapOf(address: number): readonly [string, number] | null {
    for (let i = this.maps.length - 1; i >= 0; i--) {
      const { name, base } = this.maps[i];
      if (address >= base - OFFSET_IN_SLOT && address < base + SLOT - OFFSET_IN_SLOT) return [name, address - base];
    }
    if (address < MIB) return ["null", address];
    return null;
  }

  fileOf(ino: number): string | undefined {
    return this.inodes.get(ino);
  }
}
