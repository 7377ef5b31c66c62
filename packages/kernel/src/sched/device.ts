// What works beside the processors, and is done in the middle of whatever runs there.

/** What may interrupt whoever runs. */
export interface Device {
  /** Has it something to do? */
  isReady(): boolean;
  /** Finish one request. Context: atomic. */
  serve(): void;
}
