// References to pages of a file that a task keeps while it may take a user fault, as those who wrote the fix thought
// of them: they keep the file's lock on this node, although the task does not hold it; another node that wants it
// waits for them, and the fault may have to wait for that node. So they count as a lock, in reports and for lockdep.
//
// No kernel waits for them (docs/recordings.md), and no revision but those of tests does: `referencesPin`.

import { Lock, lockAcquired, lockReleased, type Task, type World, wakeUpAll } from "@faultline/kernel";
import type { FileMapping } from "../vfs/inode.ts";

export class PagePins extends Lock {
  readonly #owners: Task[] = [];

  constructor(world: World, label: string) {
    super(world.newId(label), "page references", label);
  }

  override isReady(): boolean {
    return this.#owners.length === 0;
  }

  override holders(): readonly Task[] {
    return this.#owners;
  }

  add(task: Task): void {
    this.#owners.push(task);
    lockAcquired(task, this, "");
  }

  remove(task: Task): void {
    this.#owners.splice(this.#owners.lastIndexOf(task), 1);
    lockReleased(task, this);
    if (this.#owners.length === 0) wakeUpAll(this);
  }
}

/** The task keeps references to pages of the file from here on, come what may. Context: atomic. */
export function pinPages(task: Task, mapping: FileMapping): void {
  if (!mapping.host.sb.referencesPin) return;
  mapping.pins ??= new PagePins(task.world, `pages of ${mapping.label}`);
  mapping.pins.add(task);
}

/** Context: atomic. */
export function unpinPages(task: Task, mapping: FileMapping): void {
  mapping.pins?.remove(task);
}
