// Lock states, request flags and reply codes shared by glocks and lock managers (fs/gfs2/glock.h).

export const LM_ST_UNLOCKED = 0;
export const LM_ST_EXCLUSIVE = 1;
/** Direct I/O: any number of nodes, but no cached data. */
export const LM_ST_DEFERRED = 2;
export const LM_ST_SHARED = 3;

/** Fail with GLR_TRYFAILED instead of waiting. */
export const LM_FLAG_TRY = 0x1;
/** The same, but tell whoever holds it once. */
export const LM_FLAG_TRY_1CB = 0x2;
/** Allowed during recovery and after a withdraw. */
export const LM_FLAG_NOEXP = 0x4;
/** Any state that is cached will do. */
export const LM_FLAG_ANY = 0x8;
/** Exclusive towards other nodes; holders of this node share it. */
export const LM_FLAG_NODE_SCOPE = 0x20;
/** gfs2_glock_nq returns at once; gfs2_glock_wait waits. */
export const GL_ASYNC = 0x40;
/** No other cached state will do. */
export const GL_EXACT = 0x80;
/** Do not read the inode again. */
export const GL_SKIP = 0x100;
/** The holder belongs to no task; once granted it does not count as recursion. */
export const GL_NOPID = 0x200;
/** Give the lock back as soon as it is released. */
export const GL_NOCACHE = 0x400;
/** Grant now or return -ECHILD. */
export const GL_NOBLOCK = 0x800;

/** What a try lock returns that could not be had. Positive: not an errno. */
export const GLR_TRYFAILED = 13;

/** The lock manager gave up a request (a conversion deadlock): queue it anew. */
export const LM_OUT_CANCELED = 0x100;
/** The lock manager failed. */
export const LM_OUT_ERROR = 0x400;
/** The part of a reply that is a lock state. */
export const LM_OUT_ST_MASK = 0xff;
