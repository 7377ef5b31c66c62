// Units that must not be mixed. A brand costs nothing at run time: the value is a plain number.

declare const unit: unique symbol;

/** A number that carries its unit in the type. */
export type Unit<Name extends string> = number & { readonly [unit]: Name };

/** A user-space address, 47 bits. Divide and floor; never shift (JavaScript shifts 32 bits). */
export type UserAddr = Unit<"UserAddr">;
/** A page frame number of physical memory. */
export type Pfn = Unit<"Pfn">;
/** Bytes done. */
export type Bytes = Unit<"Bytes">;
/** Bytes NOT done: the result of copies and of the fault_in family; 0 means all is well. */
export type Uncopied = Unit<"Uncopied">;
/** A negative error number. */
export type Errno = Unit<"Errno">;

/** The kernel's ssize_t as system calls return it: bytes done, or a negative error. */
export type Ssize = Bytes | Errno;
/** 0, or a negative error. */
export type Status = 0 | Errno;

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
export const PAGE_MASK: number = ~(PAGE_SIZE - 1);
/** The most that one read or write moves (include/linux/fs.h MAX_RW_COUNT). */
export const MAX_RW_COUNT: number = 0x7fffffff & PAGE_MASK;

export function bytes(count: number): Bytes {
  return count as Bytes;
}

export function uncopied(count: number): Uncopied {
  return count as Uncopied;
}

export function userAddr(address: number): UserAddr {
  return address as UserAddr;
}

export function pfn(frame: number): Pfn {
  return frame as Pfn;
}

/** The start of the page that holds this address or file position. */
export function pageStart(position: number): number {
  return position - offsetInPage(position);
}

/** Bytes between the start of the page and this address or file position. */
export function offsetInPage(position: number): number {
  // The low 32 bits of a whole number below 2^53 survive `& 4095` exactly.
  return position & (PAGE_SIZE - 1);
}

/** Pages needed for this many bytes. */
export function pagesFor(size: number): number {
  return Math.ceil(size / PAGE_SIZE);
}

/** The index of the page that holds this file position, or the page number of an address. */
export function pageIndex(position: number): number {
  return Math.floor(position / PAGE_SIZE);
}

/** Round up to the next page start. */
export function pageAlign(position: number): number {
  return pageStart(position + PAGE_SIZE - 1);
}
