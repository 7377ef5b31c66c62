// What get_user_pages is asked for (include/linux/mm_types.h: FOLL_*).

/** Write access is needed: copies on write are made now. */
export const FOLL_WRITE: number = 1 << 0;
/** Take a reference to each page. */
export const FOLL_GET: number = 1 << 1;
/** Ignore VM_READ and VM_WRITE, as a debugger does. */
export const FOLL_FORCE: number = 1 << 3;
/** Start I/O, but do not wait for it. */
export const FOLL_NOWAIT: number = 1 << 5;
/** Return -EFAULT instead of faulting. */
export const FOLL_NOFAULT: number = 1 << 6;
/** A poisoned page is -EHWPOISON, not -EFAULT. */
export const FOLL_HWPOISON: number = 1 << 7;
/** Mark pages accessed, and dirty with FOLL_WRITE. */
export const FOLL_TOUCH: number = 1 << 16;
/** This is the second try: the fault must not drop mmap_lock again. */
export const FOLL_TRIED: number = 1 << 17;
/** Pin each page: a reference that says that its bytes will be read or written. */
export const FOLL_PIN: number = 1 << 19;
/** Only what GUP-fast finds; never sleep. */
export const FOLL_FAST_ONLY: number = 1 << 20;
/** The fault may drop mmap_lock. */
export const FOLL_UNLOCKABLE: number = 1 << 21;
/** MADV_POPULATE: tell "no area" (-ENOMEM) from "not allowed" (-EINVAL). */
export const FOLL_MADV_POPULATE: number = 1 << 22;
/** Only ever meant something together with FOLL_MLOCK; accepted and ignored. */
export const FOLL_POPULATE: number = 1 << 23;
