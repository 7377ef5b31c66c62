// Lock modes of the distributed lock manager and which of them go together (fs/dlm/lock.c). They are older than
// Linux: VMS had them.

/** Says only that somebody is interested. */
export const DLM_LOCK_NL = 0;
/** Concurrent read: reads, whoever writes. */
export const DLM_LOCK_CR = 1;
/** Concurrent write: reads and writes, and lets others do so. */
export const DLM_LOCK_CW = 2;
/** Protected read: reads while nobody writes. The classical shared lock. */
export const DLM_LOCK_PR = 3;
/** Protected write: writes alone, beside concurrent readers. */
export const DLM_LOCK_PW = 4;
export const DLM_LOCK_EX = 5;

/** No mode: nothing is granted, or nothing is asked for. */
export const DLM_LOCK_IV: number = -1;

/** By mode: the modes that it goes with, one bit each. */
const COMPATIBLE: readonly number[] = [0b111111, 0b011111, 0b000111, 0b001011, 0b000011, 0b000001];

/** Can one node have `granted` while another has `wanted`? Symmetric. Linux: dlm_modes_compat() */
export function dlmModesCompat(granted: number, wanted: number): boolean {
  return granted === DLM_LOCK_IV || (COMPATIBLE[granted] & (1 << wanted)) !== 0;
}
