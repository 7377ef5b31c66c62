// The disk at work in a world whose schedules are explored: the requests for one file, which a task of their own
// finishes one after the other, at whatever points the chooser lets it run.

import { type Device, type MaySleep, partOf, WaitChannel, wakeUpAll } from "@faultline/kernel";
import type { Bio } from "./bio.ts";
import type { Disk } from "./disk.ts";

export class RequestQueue extends WaitChannel implements Device {
  readonly #disk: Disk;
  readonly #bios: Bio[] = [];
  readonly #id: number;
  #added = 0;
  #done = 0;

  constructor(disk: Disk, path: string) {
    super(`requests for ${path}`);
    this.#disk = disk;
    this.#id = disk.world.newId(this.label);
    const work = (): MaySleep<void> => this.#work();
    disk.world.addDevice(this);
    disk.world.spawn(`disk ${path}`, work, { daemon: true });
  }

  override isReady(): boolean {
    return this.#bios.length > 0;
  }

  /** Context: atomic. */
  add(bio: Bio): void {
    const { accesses } = this.#disk.world;
    // Which request comes first matters to the file; that a request comes before it is served is no race.
    accesses?.write(this.#id);
    accesses?.release(partOf(this.#id, ++this.#added));
    this.#bios.push(bio);
    wakeUpAll(this);
  }

  /** Finish the oldest request. Context: atomic. */
  serve(): void {
    const bio = this.#bios.shift() as Bio;
    this.#disk.world.accesses?.acquire(partOf(this.#id, ++this.#done), false);
    this.#disk.finish(bio);
  }

  *#work(): MaySleep<void> {
    for (;;) {
      do yield this;
      while (!this.isReady());
      this.serve();
    }
  }
}
